"""`breakeven profile`."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from measure.report import print_profile
from measure.rundir import PROFILE_FILE
from measure.session import write_profile
from planner.console import emit_json, log, out
from planner.profile import Profile


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(profile)


def profile(
    run_directory: Annotated[
        Path, typer.Argument(metavar="RUN_DIR", help="A directory that `breakeven measure` wrote.")
    ],
    json: Annotated[bool, typer.Option("--json", help="Print the levels as one JSON object.")] = False,
) -> None:
    """Compute the profile again from the raw records of a run.

    Example: breakeven profile runs/20261120-120000
    """
    result, dropped = write_profile(run_directory)
    for line in dropped:
        log.print(f"  {line}", style="yellow", markup=False)
    show_profile(result, run_directory, as_json=json)


def show_profile(result: Profile, directory: Path, *, as_json: bool, already_said: Collection[str] = ()) -> None:
    """Tables to standard error, the place of the profile (or its levels as JSON) to standard output."""
    profile_file = directory / PROFILE_FILE
    print_profile(result, already_said=already_said)
    if as_json:
        emit_json({"run_dir": str(directory), "profile": str(profile_file), "levels": result.levels})
    else:
        out.print(f"profile: {profile_file}", markup=False)
