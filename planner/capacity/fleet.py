"""Whole machines for a request rate, on arrays of rates: the staircase under every self-hosted cost.

What an hour pays depends on other hours only through their rates: more load never needs fewer, so the most that any
hour of a stretch needs is the need of its highest rate. Boot times and minimum up-times are therefore a week with other
weights (`staffed_week`), and everything else is one staircase.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.capacity.staircase import CapacityCurve, FleetRules, SpillRow
from planner.units import HOURS_PER_WEEK, SECONDS_PER_HOUR
from planner.workload import WeekShape

Array = NDArray[np.floating[Any]]

_TOLERANCE = 1e-9  # a rate that equals a step's limit up to rounding still fits on that step
_TABULATED_MACHINES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """The distinct hourly weights of a week shape and how many hours have each; the weights ascend.

    `by_hour` holds the weights in order of the hours; empty where the order of the hours has no say.
    """

    weights: tuple[float, ...]
    hours: tuple[int, ...]
    by_hour: tuple[float, ...] = ()

    @property
    def peak(self) -> float:
        return self.weights[-1]


def week_of(shape: WeekShape) -> Week:
    """Count the distinct weights of a shape, so that a flat week costs one evaluation and not 168."""
    return _counted(shape.weights)


def _counted(by_hour: tuple[float, ...]) -> Week:
    counted = sorted(Counter(by_hour).items())
    return Week(
        weights=tuple(weight for weight, _ in counted), hours=tuple(hours for _, hours in counted), by_hour=by_hour
    )


def boot_hours(curve: CapacityCurve, rules: FleetRules) -> int:
    """Full hours that a replica is paid before it serves: 0 without a boot time, 1 for up to an hour, and so on."""
    boot_s = curve.load_time_s if rules.boot_s is None else rules.boot_s
    return math.ceil((boot_s or 0.0) / SECONDS_PER_HOUR)


@lru_cache(maxsize=256)
def staffed_week(week: Week, lead_h: int, min_up_h: int) -> Week:
    """The week whose weights are the highest from `min_up_h` - 1 hours before each hour to `lead_h` after it.

    A day of one busy hour with a boot of 20 minutes and 3 hours of minimum up-time pays 4 hours: the one before, the
    busy one and two after. Raises `ValueError` for a week without the order of its hours.
    """
    if lead_h == 0 and min_up_h == 1:
        return week
    if not week.by_hour:
        raise ValueError("boot and minimum up-time need the order of the hours")
    weights = np.array(week.by_hour)
    shifted = [np.roll(weights, by) for by in range(-lead_h, min_up_h)]
    return _counted(tuple(np.max(shifted, axis=0).tolist()))


def replicas_needed(curve: CapacityCurve, requests_per_s: Array) -> Array:
    """Whole replicas that hold the service level at each rate [1/s]; 0 at rate 0.

    Beyond the last simulated step every further replica is credited with the last step's rate per replica: a curve that
    ends at 10 replicas for 4/s gives 13 for 5/s. Larger fleets smooth bursts better, so this errs towards too many.
    """
    limits = np.array(curve.max_requests_per_s)
    steps = np.array((*curve.replicas, curve.replicas[-1]), dtype=float)
    within = steps[np.searchsorted(limits * (1 + _TOLERANCE), requests_per_s)]
    needed = np.where(requests_per_s > 0, within, 0.0)
    larger = requests_per_s > limits[-1] * (1 + _TOLERANCE)
    if not np.any(larger):
        return np.asarray(needed)
    per_replica = limits[-1] / curve.replicas[-1]
    beyond = np.ceil(requests_per_s / per_replica * (1 - _TOLERANCE))
    return np.asarray(np.where(larger, np.maximum(beyond, needed), needed))


def machines_needed(
    curve: CapacityCurve, requests_per_s: Array, rules: FleetRules, replicas_per_machine: Array
) -> Array:
    """Whole machines for the need with what `rules` add to it; replicas per machine are rounded down, shapes broadcast.

    Worked: 4 replicas needed on machines of 2, 1 spare, 3 zones. 5 replicas take 3 machines; to have 2 of them left
    without the fullest zone takes 3, one in each. Without need only `min_replicas` stay.
    """
    needed, per_machine = replicas_needed(curve, requests_per_s), np.floor(replicas_per_machine)
    wanted = np.maximum(np.where(needed > 0, needed + rules.spare_replicas, 0.0), rules.min_replicas)
    machines = np.ceil(wanted / per_machine)
    if rules.zones > 1:
        machines = np.maximum(machines, _spread_over(rules.zones, np.ceil(needed / per_machine)))
    return np.asarray(machines)


def _spread_over(zones: int, machines: Array) -> Array:
    """Fewest machines of which `machines` are left without the fullest of so many zones: m - ceil(m / Z) >= needed."""
    return np.asarray(np.ceil(machines * zones / (zones - 1) - _TOLERANCE))


def replicas_left(machines: Array, replicas_per_machine: Array | float, rules: FleetRules) -> Array:
    """Replicas that serve while the spare ones, or the fullest zone, are down: 5 machines of 2 in 3 zones leave 6."""
    left = machines * replicas_per_machine - rules.spare_replicas
    if rules.zones > 1:
        left = np.minimum(left, (machines - np.ceil(machines / rules.zones)) * replicas_per_machine)
    return np.asarray(np.maximum(left, 0.0))


def machine_hours_per_week(
    curve: CapacityCurve, requests_per_s: Array, week: Week, rules: FleetRules, replicas_per_machine: Array
) -> Array:
    """What rent bills in a week: whole machines in whole hours, following the hour's need or the peak's all week."""
    if not rules.scale_by_hour:
        return machines_needed(curve, requests_per_s * week.peak, rules, replicas_per_machine) * HOURS_PER_WEEK
    week = staffed_week(week, boot_hours(curve, rules), rules.min_up_h)
    rates, per_machine = np.broadcast_arrays(requests_per_s, np.floor(replicas_per_machine))
    total = np.empty(rates.shape)
    for replicas in np.unique(per_machine).tolist():
        mine = per_machine == replicas
        total[mine] = _hours_following_need(curve, rates[mine], week, rules, int(replicas))
    return total


def _hours_following_need(
    curve: CapacityCurve, rates: Array, week: Week, rules: FleetRules, replicas_per_machine: int
) -> Array:
    """Machine-hours of a week that follows the need, exact: every hour's staircase laid over the mean rate.

    Each edge of the staircase divided by an hour's weight is a mean rate above which that hour needs one machine more,
    so the hours up to a rate are counted by one search. Rates beyond the tabulated fleets are added up hour by hour.
    """
    steps, gained, last = _tabulated(curve, week, rules, replicas_per_machine)
    weights, hours = np.array(week.weights), np.array(week.hours)
    per = np.array([float(replicas_per_machine)])
    idle = machines_needed(curve, np.zeros(1), rules, per)[0] * HOURS_PER_WEEK
    total = idle + gained[np.searchsorted(steps * (1 + _TOLERANCE), rates)]
    beyond = rates * week.peak > last
    if beyond.any():
        distinct, back = np.unique(rates[beyond], return_inverse=True)
        total[beyond] = (machines_needed(curve, distinct[:, np.newaxis] * weights, rules, per) @ hours)[back]
    return np.asarray(np.where(rates > 0, total, idle))


@lru_cache(maxsize=64)
def _tabulated(
    curve: CapacityCurve, week: Week, rules: FleetRules, replicas_per_machine: int
) -> tuple[Array, Array, float]:
    """Mean rates at which some hour needs one machine more, hours gained up to each, and the last tabulated edge."""
    edges = step_rates_per_s(curve, rules, replicas_per_machine, _TABULATED_MACHINES)
    weights, hours = np.array(week.weights), np.array(week.hours)
    busy = weights > 0
    steps = (edges[:, np.newaxis] / weights[busy]).ravel()
    order = np.argsort(steps)
    gained = np.cumsum(np.broadcast_to(hours[busy], (edges.size, busy.sum())).ravel()[order])
    return steps[order], np.concatenate([[0.0], gained]), float(edges[-1])


def held_rate_per_s(curve: CapacityCurve, replicas: Array) -> Array:
    """The highest rate [1/s] that so many whole replicas hold within the service level; 0 below the curve's first."""
    limits = np.array(curve.max_requests_per_s)
    step = np.searchsorted(curve.replicas, replicas, side="right") - 1
    within = np.where(step >= 0, limits[np.maximum(step, 0)], 0.0)
    return np.asarray(np.where(replicas > curve.replicas[-1], replicas * (limits[-1] / curve.replicas[-1]), within))


def spilled_frac(curve: CapacityCurve, requests_per_s: Array, replicas: Array) -> Array:
    """Share of the requests of an hour at a rate [1/s] that so many replicas leave to an API; 0 without traffic.

    By simulation, request by request, where the curve holds it (`planner.capacity.overflow`). Else the hour is taken as
    even, and what exceeds the highest rate within the service level leaves: at 3/s on a fleet that holds 2, a third.
    """
    rates, fleet = np.broadcast_arrays(np.asarray(requests_per_s, dtype=float), np.asarray(replicas, dtype=float))
    if not curve.spill:
        held = held_rate_per_s(curve, fleet)
        return np.asarray(np.divide(np.maximum(rates - held, 0.0), rates, out=np.zeros(rates.shape), where=rates > 0))
    each = np.divide(rates, fleet, out=np.full(rates.shape, np.inf), where=fleet > 0)
    return _by_fleet(curve, rates, fleet, lambda row, mine: _tabulated_share(row, each[mine]))


def missed_frac(curve: CapacityCurve, requests_per_s: Array, replicas: Array) -> Array:
    """Share of the requests of an hour at a rate [1/s] that neither leave to the API nor meet the service level here.

    From the simulations of `spilled_frac`; not a number where there were none. What leaves is taken to be in time.
    """
    rates, fleet = np.broadcast_arrays(np.asarray(requests_per_s, dtype=float), np.asarray(replicas, dtype=float))
    if not all(row.missed_frac for row in curve.spill) or not curve.spill:
        return np.full(rates.shape, np.nan)
    each = np.divide(rates, fleet, out=np.full(rates.shape, np.inf), where=fleet > 0)

    def share(row: SpillRow, mine: NDArray[np.bool_]) -> Array:
        loads = np.array(row.requests_per_replica_s)
        within = np.interp(np.log(each[mine]), np.log(loads), row.missed_frac)
        return np.asarray(within * np.minimum(loads[-1] / each[mine], 1.0))

    return _by_fleet(curve, rates, fleet, share, without_machines=0.0)


def _by_fleet(
    curve: CapacityCurve,
    rates: Array,
    fleet: Array,
    share: Callable[[SpillRow, NDArray[np.bool_]], Array],
    without_machines: float = 1.0,
) -> Array:
    """`share` of the largest simulated fleet that is not larger, place by place; all leave without a machine."""
    spilled = np.where(rates > 0, without_machines, 0.0)
    following = [*(row.replicas for row in curve.spill[1:]), math.inf]
    for row, next_size in zip(curve.spill, following, strict=True):
        mine = (rates > 0) & (fleet >= row.replicas) & (fleet < next_size)
        if mine.any():
            spilled[mine] = share(row, mine)
    return np.asarray(spilled)


def _tabulated_share(row: SpillRow, requests_per_replica_s: Array) -> Array:
    """Between two simulated loads along their logarithm; beyond the last, no more is served than there."""
    loads, shares = np.array(row.requests_per_replica_s), np.array(row.spilled_frac)
    within = np.interp(np.log(requests_per_replica_s), np.log(loads), shares)
    return np.asarray(1.0 - (1.0 - within) * np.minimum(loads[-1] / requests_per_replica_s, 1.0))


def overflow_frac(curve: CapacityCurve, requests_per_s: Array, replicas: Array, week: Week) -> Array:
    """Share of a week's requests that so many replicas leave to an API, hour by hour by `spilled_frac`.

    Worked, without simulated overflow: two halves of a week at 1 and 3 requests/s on a fleet that holds 2: 1 of 3
    overflows in the second half, which has 3 of 4 requests, so 25 % of all. Shapes broadcast; 0 without traffic.
    """
    rates, fleet = np.broadcast_arrays(np.asarray(requests_per_s, dtype=float), np.asarray(replicas, dtype=float))
    if not curve.spill:
        spilled = np.zeros(rates.shape)
        for weight, hours in zip(week.weights, week.hours, strict=True):
            spilled += spilled_frac(curve, rates * weight, fleet) * (weight * hours / HOURS_PER_WEEK)
        return spilled
    each = np.divide(rates, fleet, out=np.full(rates.shape, np.inf), where=fleet > 0)

    def share(row: SpillRow, mine: NDArray[np.bool_]) -> Array:
        loads, shares = weekly_share(row, week)
        last = np.minimum(loads[-1] / each[mine], 1.0)
        return np.asarray(1.0 - (1.0 - np.interp(np.log(each[mine]), np.log(loads), shares)) * last)

    return _by_fleet(curve, rates, fleet, share)


@lru_cache(maxsize=256)
def weekly_share(row: SpillRow, week: Week) -> tuple[Array, Array]:
    """A week's share at mean loads 1 % apart, so that many worlds cost one look-up each."""
    weights, hours = np.array(week.weights), np.array(week.hours) / HOURS_PER_WEEK
    busy = weights > 0
    weights, hours = weights[busy], hours[busy]
    low, high = row.requests_per_replica_s[0] / weights.max(), row.requests_per_replica_s[-1] / weights.min()
    loads = np.geomspace(low, high, max(math.ceil(math.log(high / low) / 0.01), 2))
    shares = _tabulated_share(row, loads[:, np.newaxis] * weights) @ (weights * hours)
    return loads, np.asarray(shares)


def step_rates_per_s(curve: CapacityCurve, rules: FleetRules, replicas_per_machine: int, count: int) -> Array:
    """The first `count` rates [1/s] above which one more machine is needed: the edges of the staircase, ascending.

    The first edges are 0 where a fleet that serves anything at all needs several machines more than an idle one.
    """
    idle = machines_needed(curve, np.zeros(1), rules, np.array([float(replicas_per_machine)]))[0]
    machines = idle + np.arange(count)
    return held_rate_per_s(curve, replicas_left(machines, replicas_per_machine, rules))
