"""From a library record to plain rates: one table of USD per million tokens by context tier, for one day."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

from genai_prices.types import ModelInfo, ModelPrice, StartDateConstraint, TieredPrices, TimeOfDateConstraint

from planner.errors import InputError, PriceError
from pricing.extras import peak_weekdays
from pricing.library import LIBRARY, day_windows, find_model, in_utc, published_source
from pricing.types import Provenance, TokenKind

STANDARD = "standard"
"""The service tier of a call that asks for nothing special."""

_HOURS_PER_DAY = 24
_HOURS_PER_WEEK = 168
_DAYS_PER_WEEK = 7
_PRICE_KEY = {
    TokenKind.INPUT: "input_mtok",
    TokenKind.CACHED_INPUT: "cache_read_mtok",
    TokenKind.CACHE_WRITE: "cache_write_mtok",
    TokenKind.CACHE_WRITE_1H: "cache_write_1h_mtok",
    TokenKind.OUTPUT: "output_mtok",
    TokenKind.REASONING: "output_reasoning_mtok",
    TokenKind.REQUEST: "requests_kcount",
}
_BILLED_AS = {
    TokenKind.CACHED_INPUT: TokenKind.INPUT,
    TokenKind.CACHE_WRITE: TokenKind.INPUT,
    TokenKind.CACHE_WRITE_1H: TokenKind.CACHE_WRITE,
    TokenKind.REASONING: TokenKind.OUTPUT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TierRates:
    """Rates [USD per million] of requests with above_input_tokens < prompt <= up_to_input_tokens.

    `usd_per_mtok` holds every kind that can be billed; a kind outside `own` has no price of its own and carries that of
    the kind it is billed as (cached input as input, and so on). A kind that cannot be billed at all is absent.
    `why` says for each kind in `own` which layers made its rate, the one that set it first.
    """

    above_input_tokens: int
    up_to_input_tokens: int | None
    usd_per_mtok: Mapping[TokenKind, Decimal]
    own: frozenset[TokenKind]
    why: Mapping[TokenKind, tuple[Provenance, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateQuery:
    """What somebody wants to know the price of.

    `hourly_share` are weights of any scale, 24 for every day alike, the first for 00:00-01:00 UTC, or 168 for a week
    from Monday on; None spreads traffic evenly.
    """

    model: str  # "provider/model-id"
    at: datetime
    tier: str = STANDARD
    hourly_share: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedRates:
    """The answer to a `RateQuery`: one entry per context tier, shortest prompts first."""

    model: str
    matched_model: str
    context_window: int | None
    tiers: tuple[TierRates, ...]
    provenance: tuple[Provenance, ...]


Resolve = Callable[[RateQuery], ResolvedRates]
"""Where rates come from: the library, a price file laid over it, or a lock. Raises `PriceError` if it has no answer."""


def library_rates(query: RateQuery) -> ResolvedRates:
    """The published rates in force on the day of `query.at`.

    A price that depends on the hour is averaged over the week, on days without peak hours at the price outside them.
    Worked: 0.30 USD in 7 hours of 5 days and 0.15 else average to (35 * 0.30 + 133 * 0.15) / 168 = 0.18125 USD. Raises
    `PriceError` for an unknown model, a tier without a price and a model without a price per token.
    """
    provider, info = find_model(query.model)
    source = published_source(provider, info)
    context = _context(info, query)
    matched = f"{provider.id}/{info.id}"
    peak = peak_weekdays(matched, query.at) if day_windows(info) else None
    said = (source,) if peak is None else (source, peak[1])
    prices = [(info.get_prices(moment, context), weight) for moment, weight in _moments(info, query, peak and peak[0])]
    thresholds = sorted({start for price, _ in prices for start in _tier_starts(price)})
    tiers = []
    for above, up_to in zip([0, *thresholds], [*thresholds, None], strict=True):
        cells = [(_rates_above(price, above), weight) for price, weight in prices]
        own = frozenset(kind for rates, _ in cells for kind in rates)
        filled = [(with_fallbacks(rates), weight) for rates, weight in cells]
        rates = {kind: _mean(kind, filled) for kind in TokenKind if all(kind in cell for cell, _ in filled)}
        why = {kind: said for kind in TokenKind if kind in own}
        tiers.append(
            TierRates(above_input_tokens=above, up_to_input_tokens=up_to, usd_per_mtok=rates, own=own, why=why)
        )
    _refuse_unpriced(tiers, query.model)
    return ResolvedRates(
        model=query.model,
        matched_model=matched,
        context_window=info.context_window,
        tiers=tuple(tiers),
        provenance=said,
    )


def tiers_of(info: ModelInfo) -> tuple[str, ...]:
    """The service tiers with a price of their own, such as "batch", "flex" or "priority"."""
    priced = [variant for variant in info.price_variants or () if variant.prices.__dict__]
    return tuple(sorted({value for variant in priced for value in variant.when.values()}))


def describe_windows(info: ModelInfo, at: datetime) -> tuple[str, ...]:
    """The hours of the day with a price of their own as text; empty where the price is the same all day."""
    lines = []
    for window in day_windows(info):
        moment = datetime.combine(in_utc(at).date(), window.start_time)
        cells = _rates_above(info.get_prices(moment, {}), 0)
        prices = ", ".join(f"{kind} {rate}" for kind, rate in cells.items())
        lines.append(f"{window.start_time:%H:%M}-{window.end_time:%H:%M} UTC: {prices} USD per Mtok")
    return tuple(lines)


def _context(info: ModelInfo, query: RateQuery) -> dict[str, str]:
    model, at, tier = query.model, query.at, query.tier
    if tier == STANDARD:
        return {}
    variants = [v for v in info.price_variants or () if tier in v.when.values()]
    if not variants:
        known = ", ".join((STANDARD, *tiers_of(info)))
        raise PriceError(f'{model} has no "{tier}" price in {LIBRARY}; it has: {known}')
    active = [v for v in variants if v.constraint is None or v.constraint.active(in_utc(at))]
    if not active:
        starts = [v.constraint.start_date for v in variants if isinstance(v.constraint, StartDateConstraint)]
        since = f"; it is known from {min(starts)} on" if starts else ""
        raise PriceError(f'{model} has no "{tier}" price on {in_utc(at).date()} in {LIBRARY}{since}')
    priced = {key for variant in active for key in variant.prices.__dict__}
    needed = info.get_prices(in_utc(at)).__dict__
    for kind in (TokenKind.INPUT, TokenKind.OUTPUT):
        if _PRICE_KEY[kind] in needed and _PRICE_KEY[kind] not in priced:
            raise PriceError(f'{model}: the "{tier}" price in {LIBRARY} says nothing about {kind} tokens')
    return {key: value for variant in active for key, value in variant.when.items()}


def _moments(info: ModelInfo, query: RateQuery, peak_days: frozenset[int] | None) -> list[tuple[datetime, Fraction]]:
    """Moments that stand for the hours of a week, each with its share of the traffic."""
    weights = _hour_weights(query.hourly_share)
    at = query.at
    windows = day_windows(info)
    if not windows:
        return [(in_utc(at), Fraction(1))]
    days = [weights[_HOURS_PER_DAY * day :][:_HOURS_PER_DAY] for day in range(_DAYS_PER_WEEK)]
    usual = [day for number, day in enumerate(days, start=1) if peak_days is None or number in peak_days]
    cuts = {_minute(edge) for window in windows for edge in (window.start_time, window.end_time)}
    marks = sorted(cuts | set(range(0, _HOURS_PER_DAY * 60 + 1, 60)))
    midnight = in_utc(at).replace(hour=0, minute=0, second=0, microsecond=0)
    moments = [
        (
            midnight + timedelta(minutes=start),
            sum((day[start // 60] for day in usual), Fraction(0)) * Fraction(end - start, 60),
        )
        for start, end in pairwise(marks)
    ]
    calm = 1 - sum((share for day in usual for share in day), Fraction(0))
    if calm:
        moments.append((_outside(windows, moments), calm))
    return [(moment, weight) for moment, weight in moments if weight]


def _outside(windows: Sequence[TimeOfDateConstraint], moments: Sequence[tuple[datetime, Fraction]]) -> datetime:
    return next(moment for moment, _ in moments if not any(window.active(moment) for window in windows))


@lru_cache(maxsize=64)
def _hour_weights(hourly_share: tuple[float, ...] | None) -> list[Fraction]:
    """168 weights that sum to 1."""
    if hourly_share is None:
        return [Fraction(1, _HOURS_PER_WEEK)] * _HOURS_PER_WEEK
    weights = [Fraction(share) for share in hourly_share]
    if len(weights) not in (_HOURS_PER_DAY, _HOURS_PER_WEEK) or min(weights) < 0 or not sum(weights):
        raise InputError(
            f"an hourly profile needs 24 weights for every day or 168 for a week, >= 0 with a sum above 0, got "
            f"{hourly_share}"
        )
    week = weights * (_HOURS_PER_WEEK // len(weights))
    total = sum(week)
    return [weight / total for weight in week]


def _minute(edge: time) -> int:
    offset = edge.utcoffset() or timedelta(0)
    return (edge.hour * 60 + edge.minute - int(offset.total_seconds()) // 60) % (_HOURS_PER_DAY * 60)


def _tier_starts(price: ModelPrice) -> set[int]:
    values = (price.__dict__.get(key) for key in _PRICE_KEY.values())
    return {tier.start for value in values if isinstance(value, TieredPrices) for tier in value.tiers}


def _rates_above(price: ModelPrice, input_tokens: int) -> dict[TokenKind, Decimal]:
    rates = {}
    for kind, key in _PRICE_KEY.items():
        value = price.__dict__.get(key)
        if isinstance(value, TieredPrices):
            value = ([value.base] + [tier.price for tier in value.tiers if tier.start <= input_tokens])[-1]
        if isinstance(value, Decimal):
            rates[kind] = value * 1000 if kind is TokenKind.REQUEST else value
    return rates


def with_fallbacks(rates: Mapping[TokenKind, Decimal]) -> dict[TokenKind, Decimal]:
    """`rates` with the kinds that have no rate of their own at the rate of the kind they are billed as."""
    filled = dict(rates)
    for kind, parent in _BILLED_AS.items():
        if kind not in filled and parent in filled:
            filled[kind] = filled[parent]
    return filled


def why_of(rates: ResolvedRates, entry: TierRates, kind: TokenKind) -> tuple[Provenance, ...]:
    """What made the rate of `kind`, or of the kind it is billed as; all that is known where nobody noted it by kind."""
    while kind not in entry.why and kind in _BILLED_AS:
        kind = _BILLED_AS[kind]
    return entry.why.get(kind, rates.provenance)


def _mean(kind: TokenKind, cells: Sequence[tuple[Mapping[TokenKind, Decimal], Fraction]]) -> Decimal:
    if len(cells) == 1:
        return cells[0][0][kind]
    mean = sum((Fraction(rates[kind]) * weight for rates, weight in cells), Fraction(0))
    return Decimal(mean.numerator) / Decimal(mean.denominator)


def _refuse_unpriced(tiers: Sequence[TierRates], model: str) -> None:
    for tier in tiers:
        rates = [tier.usd_per_mtok.get(kind) for kind in (TokenKind.INPUT, TokenKind.OUTPUT)]
        if all(rate is None for rate in rates):
            raise PriceError(f"{model} has no price per token in {LIBRARY}; it cannot be compared by tokens")
        if not any(rates):
            raise PriceError(
                f"{model} is listed at 0 USD in {LIBRARY}: a free allowance is no price to plan with; name a paid model"
            )
