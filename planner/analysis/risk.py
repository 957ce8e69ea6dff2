"""All assumptions at once: seeded draws, the spread of every cost, how likely each answer is, what knowing is worth.

low and high are the 10th and 90th percentile of each assumption. Prices that move with one market (rent, hardware, the
drift of rental and API prices) share a common factor; everything else is drawn independently.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.analysis.breakeven import Difference, halved
from planner.analysis.fan import CashFan, cash_fan
from planner.analysis.flexibility import NotCommitting, Waiting, value_of_not_committing, value_of_waiting
from planner.capacity.fleet import held_rate_per_s, machines_needed
from planner.cost.draws import Draws, draws_from, mid_values, worlds_of
from planner.cost.finance import annuity_factor, levelised_usd_per_month, monthly_rate, npv_usd, payback_months
from planner.cost.ledger import cash_by_month_usd
from planner.cost.limits import bounds
from planner.cost.options import ApiOption, Frame, Option, OptionKind, OwnOption, RentOption
from planner.cost.paths import requests_per_s
from planner.cost.price_paths import draw_paths
from planner.ranges import Assumption, Range
from planner.units import HOURS_PER_MONTH, SECONDS_PER_DAY, SECONDS_PER_HOUR, TOKENS_PER_MTOK
from pricing.types import Term

Array = NDArray[np.floating[Any]]

MARKET_CORRELATION = 0.5
"""Correlation of any two prices of one market, on the normal scale. An assumption without a good source; it matters
where rent and API prices both weigh."""

_MEASURED = (
    *("throughput_ratio", "/replicas_per_machine", "/idle_w", "/loaded_w"),
    *("cached_input_frac", "requests_per_day"),
)
_QUOTED = (
    *("/usd_per_h", "/price_usd", "/residual_frac", "support_frac_per_year", "_usd_per_kwh", "_usd_per_kw_month"),
    *("network_frac_of_hardware", "installation_frac_of_hardware", "resale_frac_of_book_value"),
)
_FUTURE = ("_drift_frac_per_year", "_steps_per_year", "growth_frac_per_month", "newer_model_gain_frac_per_year")
_BREAK_EVEN_DRAWS = 150


class LearnBy(StrEnum):
    """Where a better figure comes from: a measurement, somebody's quote, one's own books, or only time."""

    MEASURE = "measurement"
    QUOTE = "quote"
    BOOKS = "figure from your own books"
    TIME = "time"


_Z_90 = 1.2815515655446004  # the 90th percentile of the standard normal
_Z_MAX = 3.0
_BINS = 20
_ROUNDING = 1e-9
_MARKET = ("_price_drift_frac_per_year", "/usd_per_h", "/price_usd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Percentiles and mean of a figure over the draws, in the unit of the field that holds it."""

    p10: float
    p50: float
    p90: float
    mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionRisk:
    """One option over the draws. Regret is what it costs more than the option that is cheapest in the same draw.

    `slo_held_frac` is the share of draws in which the fleet that the mid case asks for in the first month, spare
    replicas included, still holds the service level in that month's peak hour; `None` for what is no fleet of its own.
    """

    id: str
    kind: OptionKind
    usd_per_month: Spread
    npv_usd: Spread
    usd_per_mtok: Spread
    cheapest_frac: float
    mean_regret_usd_per_month: float
    p90_regret_usd_per_month: float
    slo_held_frac: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowing:
    """What it is worth to know one assumption exactly before choosing between the two sides [USD/month], >= 0.

    The expected value of partial perfect information: the mean of the better side's cost with one choice per value of
    the assumption, against the one choice that is best on average. An upper limit on what a measurement or a quote
    for that assumption may cost.
    """

    name: str
    worth_usd_per_month: float
    learn_by: LearnBy


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEvenSpread:
    """Lowest volume [requests/day] from which self-hosting is cheaper, over the first draws; `found_frac` have one.

    Percentiles are over the draws that have one; `None` where none has.
    """

    draws: int
    found_frac: float
    requests_per_day: Spread | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaybackSpread:
    """Month in which self-hosting's outlay over the API has come back, undiscounted; `found_frac` of draws have one."""

    found_frac: float
    months: Spread | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """The two options that are cheapest of their side with every assumption at mid, over all draws.

    `recommended_cheaper_frac` is the share of draws in which the option that is cheapest of all at mid costs less than
    the cheapest of the other side; `worth_knowing` is about the choice among all options.
    `difference_usd_per_month` is self-hosting minus API; `None`, like the probability, where one side has no option.
    """

    draws: int
    seed: int
    options: tuple[OptionRisk, ...]
    difference_usd_per_month: Spread | None
    self_host_cheaper_frac: float | None
    worth_knowing: tuple[Knowing, ...]
    recommended_cheaper_frac: float | None = None
    break_even: BreakEvenSpread | None = None
    payback: PaybackSpread | None = None
    fan: CashFan | None = None
    waiting: Waiting | None = None
    not_committing: NotCommitting | None = None


def draw_worlds(
    assumptions: Sequence[Assumption], count: int, seed: int, *, months: int = 0, posterior: Sequence[float] = ()
) -> Draws:
    """`count` worlds from every assumption's range; the same seed gives the same worlds.

    Each assumption has a stream of its own, so that adding one changes no other's values. On the scale of a normal z
    (cut at 3), the value runs through low at z = -1.28, mid at 0 and high at 1.28, geometrically where low > 0 and
    linearly elsewhere, and stays within what the assumption can be. With `months` the worlds have paths of sudden price
    changes. With `posterior`, rates over the best guess, `throughput_ratio` is one of them times what the range leaves
    for errors that the posterior does not know.

    >>> worlds = draw_worlds((), 3, seed=1)
    >>> worlds.worlds
    3
    """
    market = _normal("the market", count, seed)
    share = np.sqrt(MARKET_CORRELATION)
    values: dict[str, Array] = {}
    for assumption in assumptions:
        z = _normal(assumption.name, count, seed)
        if assumption.name.endswith(_MARKET):
            z = share * market + np.sqrt(1.0 - MARKET_CORRELATION) * z
        value = at_normal(assumption.value, z)
        if assumption.name == "throughput_ratio" and posterior:
            value = _of_posterior(assumption.value, z, np.array(posterior), count, seed)
        values[assumption.name] = np.clip(value, *bounds(assumption.name))
    paths = draw_paths(values, months, MARKET_CORRELATION, seed) if months else {}
    return Draws(worlds=count, values=values, paths=paths)


def _of_posterior(value: Range, z: Array, ratios: Array, count: int, seed: int) -> Array:
    """One of `ratios` times an independent error, so that in logarithms both together are as wide as the range."""
    picked = ratios[np.random.default_rng([seed, zlib.crc32(b"the posterior")]).integers(0, ratios.size, count)]
    known = (float(np.quantile(np.log(ratios), 0.9)) - float(np.quantile(np.log(ratios), 0.1))) / 2
    down, up = (
        np.sqrt(max(np.log(end) ** 2 - known**2, 0.0)) for end in (value.mid / value.low, value.high / value.mid)
    )
    steps = np.clip(z, -_Z_MAX, _Z_MAX) / _Z_90
    return np.asarray(value.mid * picked / np.median(ratios) * np.exp(np.where(steps > 0, steps * up, steps * down)))


def at_normal(value: Range, z: Array) -> Array:
    """The value of a range at z on the normal scale; z = 0 is mid, +-1.2816 high and low.

    >>> at_normal(Range(low=1.0, mid=2.0, high=8.0), np.array([-_Z_90, 0.0, _Z_90])).tolist()
    [1.0, 2.0, 8.0]
    """
    steps = np.clip(z, -_Z_MAX, _Z_MAX) / _Z_90
    if value.low > 0.0:
        up, down = value.high / value.mid, value.mid / value.low
        return np.asarray(value.mid * np.where(steps > 0, up**steps, down**steps))
    return np.asarray(
        value.mid + np.where(steps > 0, steps * (value.high - value.mid), steps * (value.mid - value.low))
    )


def assess(
    options: Sequence[Option],
    frame: Frame,
    assumptions: Sequence[Assumption],
    *,
    api: str | None,
    host: str | None,
    recommended: str | None,
    tokens_per_request: float,
    draws: int,
    seed: int,
    posterior: Sequence[float] = (),
    difference_on: Difference | None = None,
    volumes: Array | None = None,
) -> Risk:
    """Cost every option in `draws` worlds. `api` and `host` are the options between which the choice is made.

    `difference_on` and the `volumes` to search give the spread of the break-even.
    """
    worlds = draw_worlds(assumptions, draws, seed, months=frame.horizon_months, posterior=posterior)
    rate = monthly_rate(worlds.values["discount_rate_frac_per_year"])
    factor = annuity_factor(rate, frame.horizon_months)
    mtok = npv_usd(_requests_by_month(frame, worlds), rate) * tokens_per_request / TOKENS_PER_MTOK
    costs: dict[str, Array] = {}
    cash_usd: dict[str, Array] = {}  # of the two sides' options only, for so many worlds take space
    for option in options:
        cash = cash_by_month_usd(option, frame, worlds)
        costs[option.id] = levelised_usd_per_month(cash, rate)
        if option.id in (api, host):
            cash_usd[option.id] = cash
    cheapest = np.minimum.reduce([np.full(draws, np.inf), *costs.values()])
    difference = costs[host] - costs[api] if api is not None and host is not None else None
    return Risk(
        draws=draws,
        seed=seed,
        options=tuple(
            OptionRisk(
                id=option.id,
                kind=option.kind,
                usd_per_month=_spread(costs[option.id]),
                npv_usd=_spread(costs[option.id] * factor),
                usd_per_mtok=_spread(costs[option.id] * factor / mtok),
                cheapest_frac=float((costs[option.id] <= cheapest).mean()),
                mean_regret_usd_per_month=float((costs[option.id] - cheapest).mean()),
                p90_regret_usd_per_month=float(np.quantile(costs[option.id] - cheapest, 0.9)),
                slo_held_frac=_slo_held(option, frame, assumptions, worlds),
            )
            for option in options
        ),
        difference_usd_per_month=None if difference is None else _spread(difference),
        self_host_cheaper_frac=None if difference is None else float((difference < 0.0).mean()),
        worth_knowing=_worth_knowing(assumptions, worlds.values, np.stack(list(costs.values()))) if costs else (),
        recommended_cheaper_frac=_recommended_cheaper(costs, recommended, api, host),
        break_even=None
        if difference_on is None or volumes is None
        else break_even_spread(difference_on, worlds, volumes),
        **_between_sides(options, frame, worlds, costs, cash_usd, api, host),
    )


def value_of_knowing(known: Array, costs_usd_per_month: Array) -> float:
    """Expected value of knowing `known` before choosing the option with the lowest mean cost [USD/month].

    `costs_usd_per_month` has the shape (options, draws). The draws are sorted by what is known and cut into 20 bins of
    equal count; within a bin the best option is taken. Worked: a coin decides whether one option costs 100 or -100 and
    the other costs 0; not knowing, both cost 0 in the mean; knowing, one saves 100 half the time: 50.
    """
    blind = float(costs_usd_per_month.mean(axis=1).min())
    ordered = costs_usd_per_month[:, np.argsort(known, kind="stable")]
    starts = np.linspace(0, ordered.shape[1], _BINS + 1).astype(int)[:-1]
    informed = float(np.add.reduceat(ordered, starts, axis=1).min(axis=0).sum() / ordered.shape[1])
    return max(blind - informed, 0.0)


def learn_by(name: str) -> LearnBy:
    """How a better figure for an assumption is to be had."""
    if name.endswith(_MEASURED):
        return LearnBy.MEASURE
    if name.endswith(_QUOTED):
        return LearnBy.QUOTE
    return LearnBy.TIME if name.endswith(_FUTURE) else LearnBy.BOOKS


def _recommended_cheaper(
    costs: Mapping[str, Array], recommended: str | None, api: str | None, host: str | None
) -> float | None:
    if recommended is None or api is None or host is None:
        return None
    other = costs[host] if recommended == api else costs[api]
    return float((costs[recommended] < other).mean())


def _between_sides(
    options: Sequence[Option],
    frame: Frame,
    worlds: Draws,
    costs: Mapping[str, Array],
    cash_usd: Mapping[str, Array],
    api: str | None,
    host: str | None,
) -> dict[str, Any]:
    """What needs one option of each side: payback, cash so far, waiting, not committing."""
    by_id = {option.id: option for option in options}
    tokens, own = by_id.get(api or ""), by_id.get(host or "")
    if not isinstance(tokens, ApiOption) or not isinstance(own, RentOption | OwnOption):
        return {}
    leaving = [
        (float(costs[o.id].mean()), o.id, o)
        for o in options
        if isinstance(o, RentOption) and o.offer.term is not Term.RESERVED and not o.offer.min_term_months
    ]
    best = min(float(cost.mean()) for cost in costs.values())
    return {
        "payback": _payback(cash_usd[own.id] - cash_usd[tokens.id]),
        "fan": cash_fan(tokens.id, own.id, cash_usd[tokens.id], cash_usd[own.id]),
        "waiting": value_of_waiting(tokens, own, frame, worlds, costs[tokens.id], best),
        "not_committing": value_of_not_committing(tokens, min(leaving)[2], frame, worlds, best) if leaving else None,
    }


def _payback(more_cash_usd: Array) -> PaybackSpread:
    months = payback_months(more_cash_usd)
    found = months[~np.isnan(months)]
    return PaybackSpread(found_frac=found.size / months.size, months=_spread(found) if found.size else None)


def break_even_spread(difference: Difference, worlds: Draws, volumes: Array) -> BreakEvenSpread:
    """The lowest break-even of each of the first draws, found on `volumes` (ascending) and halved twelve times."""
    part = worlds_of(worlds, slice(0, _BREAK_EVEN_DRAWS))
    at = difference(part)
    cheaper = at(np.broadcast_to(volumes, (part.worlds, volumes.size))) <= 0.0
    have = np.flatnonzero(cheaper.any(axis=1))
    first = cheaper.argmax(axis=1)
    low, high = volumes[np.maximum(first - 1, 0)][:, np.newaxis], volumes[first][:, np.newaxis]
    found = halved(at, low, high, np.zeros((part.worlds, 1), dtype=bool), 12)[have, 0]
    return BreakEvenSpread(
        draws=part.worlds,
        found_frac=have.size / part.worlds,
        requests_per_day=_spread(found) if have.size else None,
    )


def _requests_by_month(frame: Frame, worlds: Draws) -> Array:
    months = requests_per_s(worlds, frame) * SECONDS_PER_HOUR * HOURS_PER_MONTH
    return np.concatenate([np.zeros((worlds.worlds, 1)), months], axis=1)


def _slo_held(option: Option, frame: Frame, assumptions: Sequence[Assumption], worlds: Draws) -> float | None:
    if not isinstance(option, RentOption | OwnOption):
        return None
    mid = draws_from([mid_values(assumptions)])
    replicas_name = f"{option.id}/replicas_per_machine"
    planned = peak_per_s(mid, frame) / mid.values["throughput_ratio"]
    machines = machines_needed(option.curve, planned, frame.rules, mid.values[replicas_name])
    held = held_rate_per_s(option.curve, machines * np.floor(worlds.values[replicas_name]))
    return float((held * worlds.values["throughput_ratio"] >= peak_per_s(worlds, frame) * (1 - _ROUNDING)).mean())


def peak_per_s(draws: Draws, frame: Frame) -> Array:
    """Request rate of the first month's peak hour [1/s], one per world."""
    return np.asarray(draws.values["requests_per_day"] / SECONDS_PER_DAY * frame.week.peak)


def _worth_knowing(assumptions: Sequence[Assumption], values: Mapping[str, Array], costs: Array) -> tuple[Knowing, ...]:
    """What chance alone would make of an assumption that has no say is taken off."""
    shuffled = _normal("nothing at all", costs.shape[1], 0)
    chance = value_of_knowing(shuffled, costs)
    found = (
        Knowing(
            name=a.name,
            worth_usd_per_month=max(value_of_knowing(values[a.name], costs) - chance, 0.0),
            learn_by=learn_by(a.name),
        )
        for a in assumptions
        if a.value.low < a.value.high
    )
    return tuple(sorted(found, key=lambda k: (-k.worth_usd_per_month, k.name)))


def _spread(values: Array) -> Spread:
    p10, p50, p90 = np.quantile(values, [0.1, 0.5, 0.9])
    return Spread(p10=float(p10), p50=float(p50), p90=float(p90), mean=float(values.mean()))


def _normal(name: str, count: int, seed: int) -> Array:
    return np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(count)
