"""Can a price be defended today: how old is it, and does a second source say the same?"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from planner.errors import PriceError
from pricing import commitment_offers, extras, hosts
from pricing.api import rate_card
from pricing.extras import peak_weekdays
from pricing.library import in_utc
from pricing.load import (
    load_accelerators,
    load_assumptions,
    load_electricity,
    load_known_differences,
    load_licences,
    load_purchases,
    load_rentals,
)
from pricing.rates import STANDARD, RateQuery, Resolve, TierRates, library_rates, with_fallbacks
from pricing.second_source import SecondRates, SecondSource
from pricing.types import RateCard, TokenKind

_FRESH_DAYS = 30
_OLD_DAYS = 90
_BATCH = "batch"
_HOURS_PER_DAY = 24
_HOURS_PER_WEEK = 168


class Age(StrEnum):
    """How long ago a figure was read: green up to 30 days, amber up to 90, red beyond; unknown if nobody noted it."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"
    UNKNOWN = "unknown"


class Verdict(StrEnum):
    """What the comparison with the second source came to; an explained difference has a written reason."""

    AGREE = "agree"
    EXPLAINED = "explained difference"
    DISAGREE = "sources disagree"
    UNKNOWN = "second source does not know it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One rate on which the sources differ [USD per million tokens]; None where a source has none."""

    tier: str
    above_input_tokens: int
    kind: str
    ours_usd_per_mtok: Decimal | None
    theirs_usd_per_mtok: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCheck:
    """The state of one model's price. `notes` are facts that change no number today but should be known."""

    model: str
    matched_model: str
    verdict: Verdict
    differences: tuple[Difference, ...]
    reason: str | None
    notes: tuple[str, ...]
    age: Age
    age_days: int | None
    second_key: str | None
    second_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgedTable:
    """How old the rows of one table are, and how many of them rest on no good source."""

    table: str
    rows: int
    green: int
    amber: int
    red: int
    placeholders: int
    oldest: date


def aged_rows(today: date) -> list[AgedTable]:
    """The age of every table of our own as of `today`."""
    dated = {
        "rental": [(row.checked_on, row.is_placeholder) for row in load_rentals()],
        "purchase": [(row.checked_on, row.is_placeholder) for row in load_purchases()],
        "API hosts": hosts.aged(),
        "API extras": extras.aged(),
        "commitment offers": commitment_offers.aged(),
        "accelerators": [(row.checked_on, False) for row in load_accelerators()],
        "licences": [(row.checked_on, False) for row in load_licences()],
        "electricity": [(date.fromisoformat(row.as_of), row.is_placeholder) for row in load_electricity().values()],
        "assumptions": [(date.fromisoformat(row.as_of), row.is_placeholder) for row in load_assumptions()],
    }
    tables = []
    for table, rows in dated.items():
        ages = [age_of(day, today)[0] for day, _ in rows]
        tables.append(
            AgedTable(
                table=table,
                rows=len(rows),
                green=ages.count(Age.GREEN),
                amber=ages.count(Age.AMBER),
                red=ages.count(Age.RED),
                placeholders=sum(is_placeholder for _, is_placeholder in rows),
                oldest=min(day for day, _ in rows),
            )
        )
    return tables


def is_priced(model: str, at: datetime, *, tier: str = STANDARD) -> bool:
    """Whether the model has a price per token at all on the day of `at`."""
    try:
        rate_card(model, at, tier=tier)
    except PriceError:
        return False
    return True


def age_of(as_of: date | None, today: date) -> tuple[Age, int | None]:
    """The badge and the age in days of a figure that was read on `as_of`."""
    if as_of is None:
        return Age.UNKNOWN, None
    days = (today - as_of).days
    return (Age.GREEN if days <= _FRESH_DAYS else Age.AMBER if days <= _OLD_DAYS else Age.RED), days


def check_model(model: str, at: datetime, second: SecondSource, *, resolve: Resolve = library_rates) -> ModelCheck:
    """Compare every rate of `model` on the day of `at` with the second source. Raises `PriceError` like `rate_card`.

    A price that depends on the hour is compared at its peak on a Monday, as the second source lists it. A context tier
    that starts one token earlier or later counts as the same.
    """
    card = rate_card(model, at, resolve=resolve)
    theirs = second.rates_of(card.matched_model)
    differences = () if theirs is None else tuple(_differences(card, theirs, at, resolve))
    reason = load_known_differences().get(card.matched_model) if differences else None
    age, days = age_of(card.provenance[0].as_of, in_utc(at).date())
    if theirs is None:
        verdict = Verdict.UNKNOWN
    elif not differences:
        verdict = Verdict.AGREE
    else:
        verdict = Verdict.DISAGREE if reason is None else Verdict.EXPLAINED
    return ModelCheck(
        model=model,
        matched_model=card.matched_model,
        verdict=verdict,
        differences=differences,
        reason=reason,
        notes=tuple(_notes(card, theirs, in_utc(at).date())),
        age=age,
        age_days=days,
        second_key=None if theirs is None else theirs.key,
        second_url=None if theirs is None else theirs.source_url,
    )


def _differences(card: RateCard, second: SecondRates, at: datetime, resolve: Resolve) -> Iterator[Difference]:
    both_have_batch = any(tier == _BATCH for tier, _, _ in second.usd_per_mtok) and (
        _BATCH in card.tiers and is_priced(card.model, at, tier=_BATCH)
    )
    for tier in (STANDARD, _BATCH) if both_have_batch else (STANDARD,):
        ours = _at_peak(card, at, tier, resolve)
        theirs = _by_edge(second, tier, [entry.above_input_tokens for entry in ours])
        for edge in sorted({*(entry.above_input_tokens for entry in ours), *theirs}):
            entry = next((e for e in ours if e.above_input_tokens == edge), None)
            if entry is None or edge not in theirs:
                yield from _one_sided(tier, edge, entry, theirs.get(edge, {}))
                continue
            filled = with_fallbacks(theirs[edge]) if tier == STANDARD else theirs[edge]
            for kind, other in filled.items():
                mine = entry.usd_per_mtok.get(kind)
                if (kind in entry.own or kind in theirs[edge]) and mine != other and (mine is not None or other):
                    yield _difference(tier, edge, kind, mine, other)
            if tier == STANDARD and TokenKind.OUTPUT in entry.own and TokenKind.OUTPUT not in filled:
                yield _difference(tier, edge, TokenKind.OUTPUT, entry.usd_per_mtok[TokenKind.OUTPUT], None)


def _by_edge(second: SecondRates, tier: str, edges: list[int]) -> dict[int, dict[TokenKind, Decimal]]:
    """Their rates of one tier by context tier; an edge one token off ours is ours, a free cache write is none."""
    found: dict[int, dict[TokenKind, Decimal]] = {}
    for (name, above, kind), rate in second.usd_per_mtok.items():
        if name == tier and (rate or kind in (TokenKind.INPUT, TokenKind.OUTPUT)):
            near = next((edge for edge in edges if abs(edge - above) <= 1), above)
            found.setdefault(near, {})[kind] = rate
    return found


def _at_peak(card: RateCard, at: datetime, tier: str, resolve: Resolve) -> tuple[TierRates, ...]:
    if not card.hours:
        return resolve(RateQuery(model=card.model, at=at, tier=tier)).tiers
    shares = [tuple(float(hour == hot) for hour in range(_HOURS_PER_WEEK)) for hot in range(_HOURS_PER_DAY)]
    days = [resolve(RateQuery(model=card.model, at=at, tier=tier, hourly_share=share)).tiers for share in shares]
    return max(days, key=lambda tiers: tiers[0].usd_per_mtok[TokenKind.INPUT])


def _one_sided(tier: str, edge: int, entry: TierRates | None, theirs: dict[TokenKind, Decimal]) -> Iterator[Difference]:
    for kind in TokenKind:
        if entry is None and kind in theirs:
            yield _difference(tier, edge, kind, None, theirs[kind])
        elif entry is not None and kind in entry.own and kind is not TokenKind.REQUEST:
            yield _difference(tier, edge, kind, entry.usd_per_mtok[kind], None)


def _difference(tier: str, above: int, kind: TokenKind, ours: Decimal | None, theirs: Decimal | None) -> Difference:
    return Difference(
        tier=tier, above_input_tokens=above, kind=kind, ours_usd_per_mtok=ours, theirs_usd_per_mtok=theirs
    )


def _notes(card: RateCard, second: SecondRates | None, today: date) -> Iterable[str]:
    if card.next_change is not None:
        yield f"another price is announced from {card.next_change} on"
    if card.context_window is None:
        yield "no context window is stated: too long requests are not found out"
    if second is None:
        return
    if second.deprecated_on is not None:
        tense = "was" if second.deprecated_on <= today else "will be"
        yield f"the second source says it {tense} withdrawn on {second.deprecated_on}"
    if second.off_peak and not card.hours:
        yield "the second source has off-peak hours, ours has none"
    if second.peak_on_weekdays_only and card.hours and peak_weekdays(card.matched_model, card.at) is None:
        yield "the second source has peak hours on weekdays only, ours every day: the bill may be too high"
