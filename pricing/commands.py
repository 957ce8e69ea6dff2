"""`breakeven prices`: what the price tables say, where it comes from and how old it is."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.table import Table

from planner.console import emit_json, log, out
from planner.errors import InputError, PriceError
from planner.ranges import Assumption, Range
from pricing import import_commands, licence_commands, lock_commands, quality_commands
from pricing.api import DEFAULT_MODELS, api_models, rate_card
from pricing.book import open_book
from pricing.check import AgedTable, ModelCheck, Verdict, aged_rows, check_model, is_priced
from pricing.commitment_offers import FreeQuotaRow, ThroughputRow, UnitRow, free_quotas, throughputs, units
from pricing.hardware import purchase_offers, rental_offers
from pricing.lock import lock_changes, make_lock, queries_of
from pricing.lockfile import read_lock
from pricing.operations import default_assumptions
from pricing.rates import STANDARD
from pricing.second_source import SecondSource, read_second_source
from pricing.types import ApiModel, PurchaseOffer, RateCard, RentalOffer


class Kind(StrEnum):
    """What `prices list` lists."""

    API = "api"
    RENTAL = "rental"
    PURCHASE = "purchase"
    COMMITMENT = "commitment"
    ASSUMPTIONS = "assumptions"


JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def register(app: typer.Typer) -> None:
    """Add the `prices` commands to the command line."""
    prices = typer.Typer(
        help="Look at prices, their sources and their age.\n\nExample: breakeven prices show openai/gpt-6-luna",
        no_args_is_help=True,
    )
    prices.command("list")(list_prices)
    prices.command("show")(show_price)
    prices.command("check")(check_prices)
    lock_commands.register(prices)
    import_commands.register(prices)
    licence_commands.register(prices)
    quality_commands.register(prices)
    app.add_typer(prices, name="prices")


def list_prices(
    kind: Annotated[Kind, typer.Argument(help="Which table.")] = Kind.API,
    find: Annotated[str, typer.Option(help="Only rows whose name contains this.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """List what can be priced: API models, machines to rent or to own, published commitments, other assumptions.

    Example: breakeven prices list api --find gpt-oss
    """
    wanted = find.lower()
    if kind is Kind.API:
        models = [m for m in api_models() if wanted in f"{m.provider}/{m.id}".lower()]
        _print(as_json, "models", [asdict(m) for m in models], _api_table(models))
    elif kind is Kind.RENTAL:
        rentals = [r for r in rental_offers() if wanted in f"{r.id} {r.name}".lower()]
        _print(as_json, "rentals", [asdict(r) for r in rentals], _rental_table(rentals))
    elif kind is Kind.PURCHASE:
        machines = [p for p in purchase_offers() if wanted in f"{p.id} {p.name}".lower()]
        _print(as_json, "purchases", [asdict(p) for p in machines], _purchase_table(machines))
    elif kind is Kind.COMMITMENT:
        every: list[UnitRow | ThroughputRow | FreeQuotaRow] = [*units(), *throughputs(), *free_quotas()]
        offers = [row for row in every if wanted in row.id]
        _print(as_json, "commitments", [row.model_dump() for row in offers], _commitment_table(offers))
    else:
        defaults = [a for a in default_assumptions() if wanted in a.name]
        _print(as_json, "assumptions", [asdict(a) for a in defaults], _assumption_table(defaults))


def show_price(
    model: Annotated[str, typer.Argument(help="provider/model-id, as `breakeven prices list` shows it.")],
    at: Annotated[str, typer.Option(help="Day to price, ISO date; default today.")] = "",
    tier: Annotated[str, typer.Option(help="Service tier, such as batch.")] = STANDARD,
    own: lock_commands.OwnFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Show every rate of one API model on one day, with its source and the next announced change.

    Example: breakeven prices show google/gemini-3.8-flash --at 2027-01-01
    """
    resolve = open_book(own).resolve
    card = rate_card(model, _day(at), tier=tier, resolve=resolve)
    change = card.next_change
    later = None if change is None else rate_card(model, _midnight(change), tier=tier, resolve=resolve)
    if as_json:
        emit_json({"now": _card_json(card), "next": None if later is None else _card_json(later)})
        return
    _print_card(card)
    if later is not None:
        out.print(f"\nannounced change on {later.at.date()}:")
        _print_card(later)


def check_prices(
    models: Annotated[
        list[str] | None, typer.Argument(help="provider/model-id; default: the recommended ones.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every model that both sources know.")] = False,
    against: Annotated[Path | None, typer.Option(help="A newer litellm price map than the bundled copy.")] = None,
    lock: Annotated[Path | None, typer.Option(help="A price lock: check its models, and what changed since.")] = None,
    own: lock_commands.OwnFlag = None,
    at: Annotated[str, typer.Option(help="Day to compare, ISO date; default today.")] = "",
    strict: Annotated[bool, typer.Option(help="Fail if sources disagree without a written reason.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Ask a second source: which API prices agree, which differ and why, and which figures are old.

    Example: breakeven prices check anthropic/claude-haiku-5-5 deepseek/deepseek-v4-flash
    """
    now = _day(at)
    second = read_second_source(against)
    resolve = open_book(own).resolve
    frozen = None if lock is None else read_lock(lock)
    changes = () if frozen is None else lock_changes(frozen, make_lock(queries_of(frozen), now.date(), resolve))
    if everything:
        known = [f"{m.provider}/{m.id}" for m in api_models()]
        chosen = [name for name in known if second.rates_of(name) is not None and is_priced(name, now)]
    else:
        chosen = models or ([entry.model for entry in frozen.models] if frozen else list(DEFAULT_MODELS))
    checks = [check_model(name, now, second, resolve=resolve) for name in chosen]
    rows = aged_rows(now.date())
    if as_json:
        source = {"name": second.name, "copied_on": second.copied_on}
        emit_json(
            {
                "second_source": source,
                "models": [asdict(check) for check in checks],
                "lock_changes": [asdict(change) for change in changes],
                "tables": [asdict(row) for row in rows],
            }
        )
    else:
        if frozen is not None:
            lock_commands.print_changes(frozen, changes)
        _print_checks(checks, second)
        _print_ages(rows)
    open_questions = [check.model for check in checks if check.verdict is Verdict.DISAGREE]
    if strict and open_questions:
        raise PriceError(f"sources disagree without a written reason on: {', '.join(open_questions)}")


def _print_checks(checks: list[ModelCheck], second: SecondSource) -> None:
    table = [(c.model, c.verdict, c.age) for c in checks]
    out.print(_table(("model", f"against {second.name}", "age"), table))
    for check in checks:
        for d in check.differences:
            ours, theirs = _maybe(d.ours_usd_per_mtok), _maybe(d.theirs_usd_per_mtok)
            place = f"{d.tier} {d.kind}" + (f" above {d.above_input_tokens:,}" if d.above_input_tokens else "")
            out.print(f"{check.model}: {place}: {ours} here, {theirs} there (USD per million)", markup=False)
        for line in (*check.notes, *([f"reason: {check.reason}"] if check.reason else [])):
            out.print(f"{check.model}: {line}", markup=False)


def _print_ages(rows: list[AgedTable]) -> None:
    cells = [(r.table, r.rows, r.green, r.amber, r.red, r.placeholders, r.oldest) for r in rows]
    out.print(_table(("table", "rows", "to 30 days", "to 90", "older", "placeholders", "oldest"), cells))


def _maybe(value: Decimal | None) -> str:
    return "no rate" if value is None else _money(value)


def _day(text: str) -> datetime:
    if not text:
        return datetime.now(UTC)
    try:
        return _midnight(date.fromisoformat(text))
    except ValueError:
        raise InputError(f'--at needs an ISO date such as 2027-01-01, got "{text}"') from None


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _card_json(card: RateCard) -> dict[str, Any]:
    return asdict(replace(card, rows=())) | {"rows": [asdict(row) for row in card.rows]}


def _print_card(card: RateCard) -> None:
    window = "not stated" if card.context_window is None else f"{card.context_window:,} input tokens"
    rows = [(row.kind, f"{row.above_input_tokens:,}", _money(row.usd_per_mtok)) for row in card.rows]
    out.print(_table(("tokens", "prompt longer than", "USD per million"), rows))
    out.print(f"{card.matched_model} on {card.at.date()}; context window: {window}; tiers: {', '.join(card.tiers)}")
    if card.cache_storage_usd_per_mtok_h is not None:
        out.print(f"  keeping a cache: {_money(card.cache_storage_usd_per_mtok_h)} USD per million tokens and hour")
    for line in card.hours:
        out.print(f"  {line}")
    for said in card.provenance:
        parts = [said.source, said.note, said.source_url or "no address given", f"as of {said.as_of or 'unknown'}"]
        out.print(f"{said.layer}: {'; '.join(part for part in parts if part)}", markup=False)


def _api_table(models: Iterable[ApiModel]) -> Table:
    rows = []
    for m in models:
        name = f"{m.provider}/{m.id}"
        window = "" if m.context_window is None else f"{m.context_window:,}"
        marks = ["default"] * (name in DEFAULT_MODELS) + ["deprecated"] * m.deprecated
        cached, batch = "yes" if m.has_cache_rate else "", "yes" if m.has_batch_rate else ""
        rows.append((name, window, cached, batch, " ".join(marks)))
    return _table(("model", "context window", "cache rate", "batch rate", ""), rows)


def _rental_table(offers: Iterable[RentalOffer]) -> Table:
    rows = [(o.id, o.vcpus, f"{o.ram_gib:g}", _cards(o), o.term, _span(o.usd_per_h), o.checked_on) for o in offers]
    return _table(("id", "vCPUs", "GiB", "accelerators", "term", "USD per h", "checked on"), rows)


def _purchase_table(offers: Iterable[PurchaseOffer]) -> Table:
    rows = [
        (o.id, o.name, _span(o.price_usd), _span(o.loaded_w), _mark(o.is_placeholder), o.checked_on) for o in offers
    ]
    return _table(("id", "machine", "USD", "loaded W", "", "checked on"), rows)


def _commitment_table(offers: Iterable[UnitRow | ThroughputRow | FreeQuotaRow]) -> Table:
    rows = [(o.id, o.terms, _mark(o.is_placeholder), o.checked_on) for o in offers]
    return _table(("id", "terms", "", "checked on"), rows)


def _assumption_table(defaults: Iterable[Assumption]) -> Table:
    rows = [(a.name, _span(a.value), _mark(a.is_placeholder), a.as_of) for a in defaults]
    return _table(("assumption", "low / mid / high", "", "as of"), rows)


def _table(heads: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> Table:
    table = Table(box=SIMPLE)
    for number, head in enumerate(heads):
        table.add_column(head, no_wrap=number == 0)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    return table


def _print(as_json: bool, key: str, rows: list[dict[str, Any]], table: Table) -> None:
    if as_json:
        emit_json({key: rows})
    elif rows:
        out.print(table)
    else:
        log.print(f"no {key} with that name; leave out --find to see all")


def _cards(offer: RentalOffer) -> str:
    return "" if offer.accelerator is None else f"{offer.accelerators} x {offer.accelerator}"


def _mark(is_placeholder: bool) -> str:
    return "placeholder" if is_placeholder else ""


def _span(value: Range) -> str:
    if value.low == value.high:
        return f"{value.mid:g}"
    return f"{value.low:g} / {value.mid:g} / {value.high:g}"


def _money(value: Decimal) -> str:
    return f"{value.normalize():f}"
