"""`breakeven prices lock` and `refresh`: freeze the rates of a plan, and replace them only when somebody agrees."""

from dataclasses import asdict
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from planner.console import emit_json, out
from planner.errors import InputError
from planner.units import MONTHS_PER_YEAR
from pricing.api import DEFAULT_MODELS
from pricing.book import open_book
from pricing.lock import LockChange, PriceLock, lock_changes, make_lock, queries_of
from pricing.lockfile import read_lock, write_lock
from pricing.rates import STANDARD, RateQuery

_MID_MONTH_DAY = 15

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
OwnFlag = Annotated[Path | None, typer.Option("--own", help="Your own price file, laid over the published prices.")]


def register(prices: typer.Typer) -> None:
    """Add `lock` and `refresh` to the `prices` commands."""
    prices.command("lock")(lock_prices)
    prices.command("refresh")(refresh_prices)


def lock_prices(
    models: Annotated[
        list[str] | None, typer.Argument(help="provider/model-id; default: the recommended ones.")
    ] = None,
    start: Annotated[str, typer.Option("--from", help="First month, such as 2026-12; default this month.")] = "",
    months: Annotated[int, typer.Option(min=1, max=120, help="How many months.")] = 36,
    tier: Annotated[str, typer.Option(help="Service tier, such as batch.")] = STANDARD,
    own: OwnFlag = None,
    to: Annotated[Path, typer.Option("--out", help="Where to write the lock.")] = Path("prices.lock.json"),
    as_json: JsonFlag = False,
) -> None:
    """Freeze the rates of every month of a plan, announced changes included, in one file.

    Example: breakeven prices lock openai/gpt-6-luna --from 2026-12 --months 36 --out prices.lock.json
    """
    days = _mid_months(start, months)
    queries = [RateQuery(model=model, at=day, tier=tier) for model in models or DEFAULT_MODELS for day in days]
    book = open_book(own)
    lock = make_lock(queries, datetime.now(UTC).date(), book.resolve, book.commitments)
    if to.exists():
        raise InputError(f"{to} exists; `breakeven prices refresh {to}` shows what would change")
    write_lock(lock, to)
    if as_json:
        emit_json({"out": str(to), "models": len(lock.models), "months": months})
    else:
        out.print(f"froze {len(lock.models)} models for {months} months in {to}", markup=False)


def refresh_prices(
    path: Annotated[Path, typer.Argument(help="A price lock.")] = Path("prices.lock.json"),
    own: OwnFlag = None,
    yes: Annotated[bool, typer.Option("--yes", help="Replace the lock without asking.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show what changed since a lock was made, and replace it only if you say so.

    Example: breakeven prices refresh prices.lock.json
    """
    old = read_lock(path)
    if own is None and old.holds_own_prices:
        raise InputError(f"{path} was made with own prices: give them with --own, or the new lock would lose them")
    book = open_book(own)
    new = make_lock(queries_of(old), datetime.now(UTC).date(), book.resolve, book.commitments)
    changes = lock_changes(old, new)
    if not as_json:
        print_changes(old, changes)
    agreed = yes or (not as_json and bool(changes) and typer.confirm(f"Replace {path}?", err=True))
    if agreed:
        write_lock(new, path)
    if as_json:
        emit_json({"changes": [asdict(change) for change in changes], "replaced": agreed})


def _mid_months(start: str, months: int) -> list[datetime]:
    today = datetime.now(UTC).date()
    try:
        first = date.fromisoformat(f"{start}-01") if start else today.replace(day=1)
    except ValueError:
        raise InputError(f'--from needs a month such as 2026-12, got "{start}"') from None
    counted = [first.year * MONTHS_PER_YEAR + first.month - 1 + offset for offset in range(months)]
    return [datetime(n // MONTHS_PER_YEAR, n % MONTHS_PER_YEAR + 1, _MID_MONTH_DAY, 12, tzinfo=UTC) for n in counted]


def print_changes(old: PriceLock, changes: tuple[LockChange, ...]) -> None:
    """Print what is different from the lock, one line a rate."""
    if not changes:
        out.print(f"nothing has changed since {old.created_on}")
    for change in changes:
        above = f" above {change.above_input_tokens:,}" if change.above_input_tokens else ""
        before, after = _maybe(change.locked_usd_per_mtok), _maybe(change.now_usd_per_mtok)
        where = f"{change.model} {change.tier} {change.kind}{above} from {change.first_day}"
        out.print(f"{where}: {before} -> {after} USD per million", markup=False)


def _maybe(value: Decimal | None) -> str:
    return "none" if value is None else f"{value.normalize():f}"
