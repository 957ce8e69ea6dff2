"""The `breakeven` command: every room registers its own commands; errors become one sentence and an exit code."""

import importlib.util
import os
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

import measure.commands
import measure.demo
import measure.profile_commands
import planner.plan_commands
import planner.workload_commands
import pricing.commands
from planner.console import log
from planner.errors import BreakevenError, InputError
from planner.examples import newest_scenario
from planner.scenario import load_scenario, scenario_file
from planner.version import VERSION

LOOPBACK = "127.0.0.1"
SCENARIO_VARIABLE = "BREAKEVEN_SCENARIO"  # planner.pages.state reads it in the process that Streamlit runs

app = typer.Typer(
    name="breakeven",
    help="Own the GPUs or rent the tokens? Measure your model, price your traffic, get an answer that finance signs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"breakeven {VERSION}")
        raise typer.Exit


for room in (
    measure.demo,
    measure.commands,
    measure.profile_commands,
    planner.workload_commands,
    pricing.commands,
    planner.plan_commands,
):
    room.register(app)


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
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8501,
) -> None:
    """Open the dashboard on a plan, bound to 127.0.0.1.

    Example: breakeven app runs/demo-20261120-193000
    """
    if importlib.util.find_spec("streamlit") is None:
        raise InputError("the dashboard needs Streamlit, which is not installed: pip install 'breakeven[app]'")
    door = importlib.util.find_spec("app")
    if door is None or door.origin is None:
        raise InputError("app.py is not installed beside the packages; install breakeven again")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port of connections that just ended is free
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            raise InputError(f"port {port} is in use; choose another one with --port") from None
    environment = dict(os.environ)
    opened = scenario_file(plan) if plan is not None else newest_scenario()
    if opened is not None:
        load_scenario(opened)
        environment[SCENARIO_VARIABLE] = str(opened.resolve())
        log.print(f"scenario: {opened}", markup=False)
    options = {
        "server.address": LOOPBACK,
        "server.port": str(port),
        "server.headless": "true",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "viewer",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    log.print(f"dashboard: http://{LOOPBACK}:{port}  (Ctrl-C ends it)")
    os.execve(sys.executable, [sys.executable, "-m", "streamlit", "run", door.origin, *flags], environment)


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 bad input, 3 engine, 4 price, 130 interrupted."""
    try:
        app()
    except BreakevenError as error:
        log.print(f"breakeven: {error}", style="red", markup=False)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        log.print("breakeven: interrupted; what was measured so far is kept", style="yellow")
        sys.exit(130)


if __name__ == "__main__":
    main()
