"""The `breakeven` command: every room registers its own commands; errors become one sentence and an exit code.

A room is imported when one of its commands is asked for, so that none waits for what only another needs.
"""

import errno
import importlib
import importlib.util
import ipaddress
import os
import signal
import socket
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from planner.console import log
from planner.errors import BreakevenError, InputError
from planner.examples import newest_scenario
from planner.version import VERSION

LOOPBACK = "127.0.0.1"
INTERRUPTED = 130
WITHOUT_LOGIN_VARIABLE = "BREAKEVEN_WITHOUT_LOGIN"  # planner.pages.gate reads it
_LOGIN_KEYS = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")
SCENARIO_VARIABLE = "BREAKEVEN_SCENARIO"  # planner.pages.state reads it in the process that Streamlit runs

_ROOMS = {
    "demo": "measure.demo",
    "measure": "measure.commands",
    "profile": "measure.profile_commands",
    "workload": "planner.commands.workload",
    "validate": "planner.commands.model",
    "simulate": "planner.commands.model",
    "prices": "pricing.commands",
    "plan": "planner.commands.plan",
    "backtest": "planner.commands.backtest",
}
"""Command to the module whose `register` adds it, in the order of the help."""


class _Rooms(TyperGroup):
    """Finds the commands of a room when they are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*_ROOMS, *(name for name in super().list_commands(ctx) if name not in _ROOMS)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in _ROOMS and cmd_name not in self.commands:
            room = typer.Typer()
            importlib.import_module(_ROOMS[cmd_name]).register(room)
            self.commands.update(typer.main.get_group(room).commands)
        return super().get_command(ctx, cmd_name)


app = typer.Typer(
    name="breakeven",
    cls=_Rooms,
    help="Own the GPUs or rent the tokens? Measure your model, price your traffic, get an answer that finance signs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"breakeven {VERSION}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command(name="app")
def dashboard(
    plan: Annotated[
        Path | None, typer.Argument(help="A scenario, or a directory with one. Default: the newest under runs/.")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the dashboard.")] = 8501,
    host: Annotated[
        str, typer.Option(help="Address to bind to. Other machines than this one need a login: docs/dashboard.md.")
    ] = LOOPBACK,
    without_login: Annotated[
        bool, typer.Option("--without-login", help="Let everybody in who reaches --host; you say so.")
    ] = False,
) -> None:
    """Open the dashboard on a plan, bound to 127.0.0.1.

    Example: breakeven app runs/demo-20261120-193000
    """
    from planner.scenario.toml_file import load_scenario, scenario_file

    if importlib.util.find_spec("streamlit") is None:
        raise InputError("the dashboard needs Streamlit, which is not installed: pip install 'breakeven[app]'")
    door = importlib.util.find_spec("app")
    if door is None or door.origin is None:
        raise InputError("app.py is not installed beside the packages; install breakeven again")
    if not is_loopback(host) and not without_login:
        _check_login(host)
    _check_free(host, port)
    environment = dict(os.environ)
    environment.pop(WITHOUT_LOGIN_VARIABLE, None)
    if without_login:
        environment[WITHOUT_LOGIN_VARIABLE] = "1"
    opened = scenario_file(plan) if plan is not None else newest_scenario()
    if opened is not None:
        load_scenario(opened)
        environment[SCENARIO_VARIABLE] = str(opened.resolve())
        log.print(f"scenario: {opened}", markup=False)
    options = {
        "server.address": host,
        "server.port": str(port),
        "server.headless": "true",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "viewer",
        "runner.magicEnabled": "false",
        "client.showErrorDetails": "none",
        "server.maxUploadSize": "200",
        "server.fileWatcherType": "none",
        "theme.light.primaryColor": "#0072b2",
        "theme.dark.primaryColor": "#1f83c4",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    log.print(f"dashboard: http://{host}:{port}  (Ctrl-C ends it)")
    os.execve(sys.executable, [sys.executable, "-m", "planner.pages.serve", "run", door.origin, *flags], environment)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server bound to `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port of connections that just ended is free
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise InputError(f"port {port} is in use; choose another one with --port") from None
            raise InputError(
                f"cannot bind to {host}: {error.strerror}; --host takes an address of this machine"
            ) from None


def _check_login(host: str) -> None:
    """Other machines reach this address: refuse it unless Streamlit's login is set up."""
    for folder in (Path.cwd(), Path.home()):
        try:
            secrets = tomllib.loads((folder / ".streamlit" / "secrets.toml").read_text("utf-8"))
        except (OSError, ValueError):
            continue
        if "auth" in secrets:
            given = secrets["auth"] if isinstance(secrets["auth"], dict) else {}
            lacking = [key for key in _LOGIN_KEYS if not given.get(key)]
            if lacking:
                raise InputError(
                    f"[auth] in {folder / '.streamlit' / 'secrets.toml'} lacks {', '.join(lacking)}; docs/dashboard.md "
                    "shows all that a login needs"
                )
            if any(importlib.util.find_spec(name) is None for name in ("authlib", "httpx")):
                raise InputError("a login needs Authlib and httpx: pip install 'breakeven[login]'")
            return
    raise InputError(
        f"--host {host} lets other machines in and no login is set up: write [auth] into .streamlit/secrets.toml as "
        "docs/dashboard.md says, or add --without-login"
    )


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 bad input, 3 engine, 4 price, 130 interrupted."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
    try:
        app()
    except BreakevenError as error:
        log.print(f"breakeven: {error}", style="red", markup=False)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, SystemExit) as end:
        if not _was_interrupted(end):
            raise
        log.print("breakeven: interrupted", style="yellow")
        sys.exit(INTERRUPTED)


def _was_interrupted(end: BaseException) -> bool:
    """Whether Ctrl-C is behind it: the command-line library turns that into an exit of its own."""
    cause: BaseException | None = end
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


if __name__ == "__main__":
    main()
