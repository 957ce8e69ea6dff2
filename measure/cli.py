"""The `breakeven` command: every room registers its own commands; errors become one sentence and an exit code."""

import sys
from typing import Annotated

import typer

from planner.console import log
from planner.errors import BreakevenError
from planner.version import VERSION

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


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


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
