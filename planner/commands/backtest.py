"""`breakeven backtest`: a plan held against what was really used and paid."""

from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from planner.backtest.bills import MAX_BYTES, Bill, read_bill, read_server_metrics
from planner.backtest.difference import Backtest, backtest, totals
from planner.cells import csv_bytes
from planner.commands.plan import plan_scenario
from planner.console import emit_json, log, out
from planner.errors import InputError

_SHOWN_BAD_LINES = 20
_COLUMNS = (
    *("option", "month", "planned_usd", "volume_usd", "mix_usd", "cache_usd", "price_usd", "actual_usd"),
    *("planned_tokens", "actual_tokens", "planned_cached_frac", "actual_cached_frac", "currency"),
)


def register(app: typer.Typer) -> None:
    """Add the commands of this room to the command line."""
    app.command(name="backtest")(run_backtest)


def run_backtest(
    scenario: Annotated[
        Path, typer.Argument(help="The scenario.toml that was planned, or a directory that holds one.")
    ],
    actual: Annotated[
        list[Path],
        typer.Option(help="A bill: OpenAI or Anthropic usage or cost export, FOCUS CSV, plain CSV. May be repeated."),
    ],
    option: Annotated[
        str | None, typer.Option(help="The option of the plan to compare. Default: its cheapest API model.")
    ] = None,
    hours: Annotated[
        float | None, typer.Option(help="The files are vLLM metrics (one, or start and end) over so many hours.")
    ] = None,
    month: Annotated[str | None, typer.Option(help="With --hours: the month, YYYY-MM, that they stand for.")] = None,
    allow_bad_rows: Annotated[int, typer.Option(min=0, help="Rows that may be left out.")] = 0,
    out_file: Annotated[Path | None, typer.Option("--out", help="Write the table as CSV.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Hold a plan against real bills: the difference by month, split into volume, mix, cache and price.

    Example: breakeven backtest scenario.toml --actual usage.csv --actual costs.csv
    """
    files = [(str(path), _bytes(path)) for path in actual]
    if hours is None:
        bills = [read_bill(name, content) for name, content in files]
        _check(bills, allow_bad_rows)
    made = plan_scenario(scenario)
    if hours is not None:
        if month is None:
            raise InputError("server metrics carry no month; say which one they stand for with --month YYYY-MM")
        chosen = next((o.id for o in made.options if o.id == option), None) or (made.best_api and made.best_api.id)
        model = next((price.matched_model for price in made.prices if price.model == chosen), chosen or "the server")
        bills = [read_server_metrics(files, month=month, hours=hours, model=model)[0]]
    result = backtest(made, bills, option)
    if out_file is not None:
        _write(out_file, backtest_csv(result))
    if as_json:
        emit_json(_document(result, bills))
        return
    _show(result)
    for bill in bills:
        log.print(f"{bill.name}: {bill.format}, {len(bill.lines)} lines", markup=False)


def backtest_csv(result: Backtest) -> bytes:
    """One row per month, in machine flavour."""
    return csv_bytes(
        _COLUMNS,
        ((result.option, *(getattr(month, name) for name in _COLUMNS[1:-1]), "USD") for month in result.months),
    )


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is larger than the {MAX_BYTES:,} bytes that a bill may have; split it")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give the exported file") from None


def _check(bills: list[Bill], allowed: int) -> None:
    """Stops at more bad rows than allowed, with the first of them by line."""
    bad = [(bill.name, line) for bill in bills for line in bill.bad_lines]
    if len(bad) > allowed:
        said = "; ".join(f"{name}, line {line.line}: {line.reason}" for name, line in bad[:_SHOWN_BAD_LINES])
        raise InputError(f"{len(bad)} rows cannot be read: {said}; correct them, or allow them with --allow-bad-rows")


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another --out") from None


def _document(result: Backtest, bills: list[Bill]) -> dict[str, object]:
    return {
        "option": result.option,
        "currency": "USD",
        "months": [
            {**{k: _plain(v) for k, v in asdict(month).items()}, "difference_usd": float(month.difference_usd)}
            for month in result.months
        ],
        "totals": {name: float(value) for name, value in totals(result).items()},
        "matched": dict(result.matched),
        "files": [
            {
                "name": bill.name,
                "format": bill.format,
                "lines": len(bill.lines),
                "bad_rows": [asdict(line) for line in bill.bad_lines],
            }
            for bill in bills
        ],
        "notes": list(result.notes),
    }


def _plain(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else value


def _show(result: Backtest) -> None:
    table = Table(title=Text(f"{result.option}: plan against actual, USD"))
    for heading in ("month", "planned", "volume", "mix", "cache", "price", "actual"):
        table.add_column(heading, justify="left" if heading == "month" else "right")
    names = ("planned_usd", "volume_usd", "mix_usd", "cache_usd", "price_usd", "actual_usd")
    for month in result.months:
        table.add_row(month.month, *(f"{getattr(month, name):,.2f}" for name in names))
    if len(result.months) > 1:
        sums = totals(result)
        table.add_row("total", *(f"{sums[name]:,.2f}" for name in names), style="bold")
    out.print(table, soft_wrap=False)
    for note in result.notes:
        out.print(f"- {note}", markup=False)
