"""`breakeven prices import`: read somebody's catalogue or your quotes, and say what was refused and why."""

from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.table import Table

from planner.console import emit_json, out
from planner.ranges import Range
from pricing.importers import ImportedOffers, read_quotes, read_skypilot


class Source(StrEnum):
    """The kinds of file that can be read."""

    QUOTES = "quotes"
    SKYPILOT = "skypilot"


def register(prices: typer.Typer) -> None:
    """Add `import` to the `prices` commands."""
    prices.command("import")(import_prices)


def import_prices(
    path: Annotated[Path, typer.Argument(help="A CSV file.")],
    source: Annotated[Source, typer.Option("--from", help="What kind of file.")] = Source.QUOTES,
    provider: Annotated[str, typer.Option(help="Whose catalogue it is (skypilot only).")] = "catalogue",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Read machines and prices from a CSV file and list what was taken and what was refused.

    Example: breakeven prices import vms.csv --from skypilot --provider lambda
    """
    today = datetime.now(UTC).date()
    found = read_skypilot(path, provider, today) if source is Source.SKYPILOT else read_quotes(path)
    if as_json:
        emit_json(
            {
                "rentals": [asdict(offer) for offer in found.rentals],
                "purchases": [asdict(offer) for offer in found.purchases],
                "refused": [asdict(row) for row in found.refused],
            }
        )
    else:
        _print(found)


def _print(found: ImportedOffers) -> None:
    table = Table("id", "accelerators", "USD", box=SIMPLE)
    for rental in found.rentals:
        table.add_row(rental.id, f"{rental.accelerators} x {rental.accelerator or 'no card'}", _span(rental.usd_per_h))
    for machine in found.purchases:
        table.add_row(
            machine.id, f"{machine.accelerators} x {machine.accelerator or 'no card'}", _span(machine.price_usd)
        )
    out.print(table)
    out.print(f"{len(found.rentals)} rentals, {len(found.purchases)} purchases, {len(found.refused)} rows refused")
    for row in found.refused:
        out.print(f"line {row.line}: {row.what}: {row.reason}", markup=False)


def _span(value: Range) -> str:
    return f"{value.low:g} / {value.mid:g} / {value.high:g}"
