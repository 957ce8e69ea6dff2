"""All assumptions at once: seeded draws, the spread of every cost, how likely each answer is, what knowing is worth.

low and high are the 10th and 90th percentile of each assumption. Prices that move with one market (rent, hardware, the
drift of rental and API prices) share a common factor; everything else is drawn independently.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.assumptions import bounds
from planner.cost import levelised_cost_usd_per_month
from planner.draws import Draws, draws_from, mid_values
from planner.fleet import held_rate_per_s, machines_needed
from planner.options import Frame, Option, OptionKind, OwnOption, RentOption
from planner.ranges import Assumption, Range
from planner.units import SECONDS_PER_DAY

Array = NDArray[np.floating[Any]]

MARKET_CORRELATION = 0.5
"""Correlation of any two prices of one market, on the normal scale. An assumption without a good source; it matters
where rent and API prices both weigh."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """The two options that are cheapest of their side with every assumption at mid, over all draws.

    `difference_usd_per_month` is self-hosting minus API; `None`, like the probability, where one side has no option.
    """

    draws: int
    seed: int
    options: tuple[OptionRisk, ...]
    difference_usd_per_month: Spread | None
    self_host_cheaper_frac: float | None
    worth_knowing: tuple[Knowing, ...]


def draw_worlds(assumptions: Sequence[Assumption], count: int, seed: int) -> Draws:
    """`count` worlds from every assumption's range; the same seed gives the same worlds.

    Each assumption has a stream of its own, so that adding one changes no other's values. On the scale of a normal z
    (cut at 3), the value runs through low at z = -1.28, mid at 0 and high at 1.28, geometrically where low > 0 and
    linearly elsewhere, and stays within what the assumption can be.

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
        values[assumption.name] = np.clip(at_normal(assumption.value, z), *bounds(assumption.name))
    return Draws(worlds=count, values=values)


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
    draws: int,
    seed: int,
) -> Risk:
    """Cost every option in `draws` worlds. `api` and `host` are the options between which the choice is made."""
    worlds = draw_worlds(assumptions, draws, seed)
    costs = {option.id: levelised_cost_usd_per_month(option, frame, worlds) for option in options}
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
                cheapest_frac=float((costs[option.id] <= cheapest).mean()),
                mean_regret_usd_per_month=float((costs[option.id] - cheapest).mean()),
                p90_regret_usd_per_month=float(np.quantile(costs[option.id] - cheapest, 0.9)),
                slo_held_frac=_slo_held(option, frame, assumptions, worlds),
            )
            for option in options
        ),
        difference_usd_per_month=None if difference is None else _spread(difference),
        self_host_cheaper_frac=None if difference is None else float((difference < 0.0).mean()),
        worth_knowing=() if difference is None else _worth_knowing(assumptions, worlds.values, difference),
    )


def value_of_knowing(known: Array, difference_usd_per_month: Array) -> float:
    """Expected value of knowing `known` before choosing the side with the lower mean cost [USD/month].

    The draws are sorted by what is known and cut into 20 bins of equal count; within a bin the better side is taken.
    Worked: a coin decides between +100 and -100; not knowing, both sides cost the same on average; knowing, one saves
    100 half the time: 50.
    """
    blind = min(0.0, float(difference_usd_per_month.mean()))
    ordered = difference_usd_per_month[np.argsort(known, kind="stable")]
    informed = sum(min(0.0, float(part.sum())) for part in np.array_split(ordered, _BINS)) / ordered.size
    return max(blind - informed, 0.0)


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


def _worth_knowing(
    assumptions: Sequence[Assumption], values: Mapping[str, Array], difference: Array
) -> tuple[Knowing, ...]:
    found = (
        Knowing(name=a.name, worth_usd_per_month=value_of_knowing(values[a.name], difference))
        for a in assumptions
        if a.value.low < a.value.high
    )
    return tuple(sorted(found, key=lambda k: (-k.worth_usd_per_month, k.name)))


def _spread(values: Array) -> Spread:
    p10, p50, p90 = np.quantile(values, [0.1, 0.5, 0.9])
    return Spread(p10=float(p10), p50=float(p50), p90=float(p90), mean=float(values.mean()))


def _normal(name: str, count: int, seed: int) -> Array:
    return np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(count)
