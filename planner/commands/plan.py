"""`breakeven plan`: from a scenario file to the verdict and the plan directory."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from planner.console import emit_json, log, out
from planner.decision.audit import Audit, audit
from planner.decision.decide import make_plan, size_fleets
from planner.decision.frontier import with_frontier
from planner.decision.plan import Plan
from planner.decision.wording import describe, figure_text, usd
from planner.errors import InputError
from planner.export.directory import REPORT_FILE, VERDICT_FILE, verdict_document, write_plan
from planner.export.report_pdf import chromium, print_pdf
from planner.scenario.load import load_inputs
from planner.scenario.toml_file import scenario_file

PLAN_DIRECTORY = "plan"


def register(app: typer.Typer) -> None:
    """Add the commands of this room to the command line."""
    app.command(name="plan")(plan)


def plan(
    scenario: Annotated[Path, typer.Argument(help="A scenario.toml, or a directory that holds one.")],
    out_directory: Annotated[
        Path | None, typer.Option("--out", help="Where to write the plan. Default: plan/ beside the scenario.")
    ] = None,
    explain: Annotated[
        str | None, typer.Option(help="Unfold the cost of one option, named by a part of its id, to lines and sources.")
    ] = None,
    pdf: Annotated[
        bool | None,
        typer.Option("--pdf/--no-pdf", help="Print report.pdf with Chromium. Default: where it is installed."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print verdict.json to stdout.")] = False,
) -> None:
    """Compare API, rent and ownership for a scenario and write report.html, plan.xlsx and CSV files.

    Example: breakeven plan examples/scenario.toml --out plan
    """
    made = plan_scenario(scenario, latency_frontier=True)
    unfolded = explained(made, explain) if explain is not None else None
    directory = out_directory or scenario_file(scenario).parent / PLAN_DIRECTORY
    refuse_another_plan(made, directory)
    write_plan(made, directory, _printed if pdf or (pdf is None and chromium()) else None)
    if as_json:
        emit_json(verdict_document(made))
    elif unfolded is not None:
        show_audit(unfolded)
    else:
        show_plan(made)
    log.print(f"report: {directory / REPORT_FILE}", markup=False)


def _printed(report: bytes) -> bytes | None:
    printed, said = print_pdf(report)
    log.print(said, markup=False)
    return printed


def refuse_another_plan(made: Plan, directory: Path) -> None:
    """Raise `InputError` where files of another scenario's plan, or of nobody's, would be overwritten."""
    present = sorted(name for name in ("costs.csv", REPORT_FILE, VERDICT_FILE) if (directory / name).exists())
    if not present:
        return
    other = None
    if (directory / VERDICT_FILE).exists():
        try:
            other = json.loads((directory / VERDICT_FILE).read_bytes()).get("scenario")
        except (OSError, ValueError, AttributeError):
            other = None
    if other != made.scenario.name:
        whose = f'the plan of another scenario, "{other}"' if other else f"{', '.join(present)} that no plan wrote"
        raise InputError(f"{directory} holds {whose}; choose another --out or remove the files first")


def explained(made: Plan, part: str) -> Audit:
    """The option whose id holds `part`, the cheapest of several. Raises `InputError` where none does."""
    found = next((option for option in made.options if part.lower() in option.id.lower()), None)
    if found is None:
        raise InputError(f'no option is called "{part}"; there are {", ".join(option.id for option in made.options)}')
    return audit(made, found)


def show_audit(unfolded: Audit) -> None:
    """Lines with their part of the headline and their inputs, then every input with source and date."""
    out.print(
        f"{unfolded.option}: {usd(unfolded.levelised_usd_per_month)} a month, levelised", style="bold", markup=False
    )
    for line in unfolded.lines:
        said = f"{usd(line.levelised_usd_per_month):>12}  {line.category}: {line.item}"
        out.print(said, markup=False, highlight=False)
        out.print(f"{'':14}{line.quantity:,.6g} {line.unit} in {line.months} months", markup=False, highlight=False)
        out.print(f"{'':14}price: {'; '.join(line.basis[:2])}", markup=False, highlight=False)
        out.print(f"{'':14}inputs: {', '.join(line.inputs)}", markup=False, highlight=False)
    out.print("")
    for a in unfolded.assumptions:
        dated = a.as_of or "undated"
        flag = ", placeholder" if a.is_placeholder else ""
        value = " to ".join(figure_text(v) for v in dict.fromkeys((a.value.low, a.value.mid, a.value.high)))
        out.print(f"{a.name} = {value} {a.unit}: {a.source} ({dated}{flag})", markup=False, highlight=False)


def plan_scenario(path: Path, *, latency_frontier: bool = False) -> Plan:
    """Read a scenario and everything it names, size the fleets, decide; try other limits where asked to."""
    inputs = load_inputs(path)
    curves = size_fleets(inputs)
    made = make_plan(inputs, curves)
    return with_frontier(made, inputs, curves) if latency_frontier else made


def show_plan(made: Plan) -> None:
    """The options, the verdict and its cautions, for reading in a terminal."""
    table = Table(title=Text(made.scenario.name))
    table.add_column("option", overflow="fold")
    for heading in ("USD/month,\nlevelised", "first month,\nP&L", "USD/million\ntokens", "TTFT\np95, s"):
        table.add_column(heading, justify="right")
    for option in made.options:
        table.add_row(
            Text(describe(option), overflow="fold"),
            usd(option.levelised_usd_per_month),
            usd(option.first_month_usd),
            f"{option.usd_per_mtok:.4f}",
            f"{option.latency.ttft_s.p95:.3g}" if option.latency.ttft_s else "-",
        )
    out.print(table, soft_wrap=False)
    out.print(f"{made.verdict.headline}\n", style="bold", markup=False)
    for point in made.verdict.points:
        out.print(Text.assemble((f"{point.about}: ", "bold"), point.says))
    out.print()
    for caution in made.verdict.cautions:
        out.print(f"- {caution}", markup=False)
