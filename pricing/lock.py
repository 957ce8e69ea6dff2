"""Freezing the rates that a plan used, so that the plan gives the same bytes when it is run again years later."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from planner.errors import PriceError
from pricing.commitments import Commitment
from pricing.hosts import TABLE_LAYER
from pricing.library import LIBRARY_LAYER, in_utc
from pricing.rates import STANDARD, RateQuery, Resolve, ResolvedRates, TierRates, library_rates
from pricing.types import Provenance, TokenKind


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedPeriod:
    """The days on which one answer was given, and the answer."""

    days: tuple[date, ...]
    context_window: int | None
    tiers: tuple[TierRates, ...]
    provenance: tuple[Provenance, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedModel:
    """Everything that was answered for one model, service tier and hourly profile."""

    model: str
    matched_model: str
    tier: str
    hourly_share: tuple[float, ...] | None
    periods: tuple[LockedPeriod, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceLock:
    """The frozen rates and commitments of a plan; `created_on` is the day on which the rates were resolved.

    The lock in a plan directory is dated by its newest source instead, so that its bytes do not depend on the clock.
    """

    created_on: date
    models: tuple[LockedModel, ...]
    commitments: tuple[Commitment, ...] = ()

    @property
    def holds_own_prices(self) -> bool:
        """Whether anything in it comes from a price file of one's own and must not be laid over it again."""
        layers = {source.layer for m in self.models for period in m.periods for source in period.provenance}
        return bool(self.commitments) or bool(layers - {LIBRARY_LAYER, TABLE_LAYER})


@dataclass(frozen=True, slots=True, kw_only=True)
class LockChange:
    """A rate [USD per million] that is not what the lock says; None where one side has no such rate."""

    model: str
    tier: str
    first_day: date
    above_input_tokens: int
    kind: str
    locked_usd_per_mtok: Decimal | None
    now_usd_per_mtok: Decimal | None


def make_lock(
    queries: Sequence[RateQuery],
    created_on: date,
    resolve: Resolve = library_rates,
    commitments: Sequence[Commitment] = (),
) -> PriceLock:
    """Resolve every query and keep the answers; days with the same answer share a period. Raises `PriceError`."""
    groups: dict[tuple[str, str, tuple[float, ...] | None], list[tuple[date, ResolvedRates]]] = {}
    for query in queries:
        answers = groups.setdefault((query.model, query.tier, query.hourly_share), [])
        answers.append((in_utc(query.at).date(), resolve(query)))
    models = []
    for (model, tier, share), answers in groups.items():
        ordered = sorted(dict(answers).items())
        periods: list[LockedPeriod] = []
        for day, rates in ordered:
            period = LockedPeriod(
                days=(day,), context_window=rates.context_window, tiers=rates.tiers, provenance=rates.provenance
            )
            last = periods[-1] if periods else None
            if last is not None and _answer(last) == _answer(period):
                periods[-1] = LockedPeriod(
                    days=(*last.days, day),
                    context_window=last.context_window,
                    tiers=last.tiers,
                    provenance=last.provenance,
                )
            else:
                periods.append(period)
        models.append(
            LockedModel(
                model=model,
                matched_model=ordered[0][1].matched_model,
                tier=tier,
                hourly_share=share,
                periods=tuple(periods),
            )
        )
    return PriceLock(created_on=created_on, models=tuple(models), commitments=tuple(commitments))


def locked(lock: PriceLock) -> Resolve:
    """A resolver that answers from the lock alone. Raises `PriceError` for whatever was not asked when it was made."""
    table = {(m.model, m.tier, m.hourly_share): m for m in lock.models}

    def resolve(query: RateQuery) -> ResolvedRates:
        entry = table.get((query.model, query.tier, query.hourly_share))
        if entry is None:
            tier = "" if query.tier == STANDARD else f" in tier {query.tier}"
            raise PriceError(f"the price lock of {lock.created_on} does not hold {query.model}{tier}; make a new one")
        day = in_utc(query.at).date()
        for period in entry.periods:
            if day in period.days:
                return ResolvedRates(
                    model=entry.model,
                    matched_model=entry.matched_model,
                    context_window=period.context_window,
                    tiers=period.tiers,
                    provenance=period.provenance,
                )
        first, last = entry.periods[0].days[0], entry.periods[-1].days[-1]
        raise PriceError(
            f"the price lock of {lock.created_on} has no price of {query.model} on {day}, "
            f"only on the days of the plan between {first} and {last}; make a new one"
        )

    return resolve


def dated_by_sources(lock: PriceLock) -> PriceLock:
    """`lock` with the day of its newest source as `created_on`; unchanged where no source has a date."""
    periods = [period for model in lock.models for period in model.periods]
    days = [source.as_of for period in periods for source in period.provenance]
    days += [commitment.why.as_of for commitment in lock.commitments]
    return replace(lock, created_on=max((day for day in days if day is not None), default=lock.created_on))


def queries_of(lock: PriceLock) -> tuple[RateQuery, ...]:
    """What was asked when the lock was made."""
    return tuple(
        RateQuery(
            model=entry.model,
            at=in_utc(datetime(day.year, day.month, day.day)),
            tier=entry.tier,
            hourly_share=entry.hourly_share,
        )
        for entry in lock.models
        for period in entry.periods
        for day in period.days
    )


def lock_changes(old: PriceLock, new: PriceLock) -> tuple[LockChange, ...]:
    """Every rate that differs between two locks of the same queries, at the first day on which it does."""
    before, after = _flat(old), _flat(new)
    changes = []
    for place in sorted(before.keys() | after.keys()):
        previous: tuple[Decimal | None, Decimal | None] | None = None
        for day in sorted(before.get(place, {}).keys() | after.get(place, {}).keys()):
            pair = before.get(place, {}).get(day), after.get(place, {}).get(day)
            if pair[0] != pair[1] and pair != previous:
                model, tier, above, kind = place
                changes.append(
                    LockChange(
                        model=model,
                        tier=tier,
                        first_day=day,
                        above_input_tokens=above,
                        kind=kind,
                        locked_usd_per_mtok=pair[0],
                        now_usd_per_mtok=pair[1],
                    )
                )
            previous = pair
    return tuple(changes)


def _answer(period: LockedPeriod) -> tuple[object, ...]:
    return period.context_window, period.tiers, period.provenance


def _flat(lock: PriceLock) -> dict[tuple[str, str, int, str], dict[date, Decimal]]:
    flat: dict[tuple[str, str, int, str], dict[date, Decimal]] = {}
    for entry in lock.models:
        for period in entry.periods:
            for tier in period.tiers:
                for kind in TokenKind:
                    if kind in tier.own:
                        place = (entry.model, entry.tier, tier.above_input_tokens, str(kind))
                        days = flat.setdefault(place, {})
                        days.update(dict.fromkeys(period.days, tier.usd_per_mtok[kind]))
    return flat
