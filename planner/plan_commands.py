"""`breakeven plan`: from a scenario file to the verdict and the plan directory."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from planner.console import emit_json, log, out
from planner.decide import make_plan, size_fleets
from planner.export import REPORT_FILE, verdict_document, write_plan
from planner.load import load_inputs
from planner.plan import Plan
from planner.scenario import scenario_file
from planner.wording import describe, usd

PLAN_DIRECTORY = "plan"


def register(app: typer.Typer) -> None:
    """Add the commands of this room to the command line."""
    app.command(name="plan")(plan)


def plan(
    scenario: Annotated[Path, typer.Argument(help="A scenario.toml, or a directory that holds one.")],
    out_directory: Annotated[
        Path | None, typer.Option("--out", help="Where to write the plan. Default: plan/ beside the scenario.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print verdict.json to stdout.")] = False,
) -> None:
    """Compare API, rent and ownership for a scenario and write verdict.json, costs.csv, assumptions.csv, report.html.

    Example: breakeven plan examples/scenario.toml --out plan
    """
    made = plan_scenario(scenario)
    directory = out_directory or scenario_file(scenario).parent / PLAN_DIRECTORY
    write_plan(made, directory)
    if as_json:
        emit_json(verdict_document(made))
    else:
        show_plan(made)
    log.print(f"report: {directory / REPORT_FILE}", markup=False)


def plan_scenario(path: Path) -> Plan:
    """Read a scenario and everything it names, size the fleets, decide."""
    inputs = load_inputs(path)
    return make_plan(inputs, size_fleets(inputs))


def show_plan(made: Plan) -> None:
    """The options, the verdict and its cautions, for reading in a terminal."""
    table = Table(title=Text(made.scenario.name))
    table.add_column("option", overflow="fold")
    for heading in ("USD/month,\nlevelised", "first month,\nP&L", "USD/million\ntokens"):
        table.add_column(heading, justify="right")
    for option in made.options:
        table.add_row(
            Text(describe(option), overflow="fold"),
            usd(option.levelised_usd_per_month),
            usd(option.first_month_usd),
            f"{option.usd_per_mtok:.4f}",
        )
    out.print(table, soft_wrap=False)
    out.print(f"{made.verdict.headline}\n", style="bold", markup=False)
    out.print(f"{made.verdict.paragraph}\n", markup=False)
    for caution in made.verdict.cautions:
        out.print(f"- {caution}", markup=False)
