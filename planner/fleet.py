"""Whole machines for a request rate, on arrays of rates: the staircase under every self-hosted cost."""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.capacity import CapacityCurve, FleetRules
from planner.units import HOURS_PER_WEEK
from planner.workload import WeekShape

Array = NDArray[np.floating[Any]]

_TOLERANCE = 1e-9  # a rate that equals a step's limit up to rounding still fits on that step
_TABULATED_MACHINES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """The distinct hourly weights of a week shape and how many hours have each; the weights ascend."""

    weights: tuple[float, ...]
    hours: tuple[int, ...]

    @property
    def peak(self) -> float:
        return self.weights[-1]


def week_of(shape: WeekShape) -> Week:
    """Count the distinct weights of a shape, so that a flat week costs one evaluation and not 168."""
    counted = sorted(Counter(shape.weights).items())
    return Week(weights=tuple(weight for weight, _ in counted), hours=tuple(hours for _, hours in counted))


def replicas_needed(curve: CapacityCurve, requests_per_s: Array) -> Array:
    """Whole replicas that hold the service level at each rate [1/s]; 0 at rate 0.

    Beyond the last simulated step every further replica is credited with the last step's rate per replica, which
    leaves out what larger fleets gain by sharing peaks.
    """
    limits = np.array(curve.max_requests_per_s)
    steps = np.array((*curve.replicas, curve.replicas[-1]), dtype=float)
    within = steps[np.searchsorted(limits * (1 + _TOLERANCE), requests_per_s)]
    per_replica = limits[-1] / curve.replicas[-1]
    beyond = np.ceil(requests_per_s / per_replica * (1 - _TOLERANCE))
    needed = np.where(requests_per_s > limits[-1] * (1 + _TOLERANCE), np.maximum(beyond, within), within)
    return np.asarray(np.where(requests_per_s > 0, needed, 0.0))


def machines_needed(
    curve: CapacityCurve, requests_per_s: Array, rules: FleetRules, replicas_per_machine: Array
) -> Array:
    """Whole machines for the need plus the spare replicas, at least `min_replicas` of them.

    ceil(max(needed + spare_replicas, min_replicas) / floor(replicas_per_machine)); shapes broadcast. The replicas are
    those of `planner.capacity.plan_hours`.
    """
    replicas = np.maximum(replicas_needed(curve, requests_per_s) + rules.spare_replicas, rules.min_replicas)
    return np.asarray(np.ceil(replicas / np.floor(replicas_per_machine)))


def machine_hours_per_week(
    curve: CapacityCurve, requests_per_s: Array, week: Week, rules: FleetRules, replicas_per_machine: Array
) -> Array:
    """What rent bills in a week: whole machines in whole hours, following the hour's need or the peak's all week."""
    if not rules.scale_by_hour:
        return machines_needed(curve, requests_per_s * week.peak, rules, replicas_per_machine) * HOURS_PER_WEEK
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


def overflow_frac(requests_per_s: Array, held_per_s: Array, week: Week) -> Array:
    """Share of a week's requests above what the base fleet holds, taking each hour's rate as even within the hour.

    Worked: two halves of a week at 1 and 3 requests/s on a fleet that holds 2: 1 of 4 requests overflows in the second
    half, so 0.5 / 2 = 25 % of all. Shapes broadcast; 0 where there is no traffic.
    """
    spilled = np.zeros(np.broadcast_shapes(requests_per_s.shape, held_per_s.shape))
    for weight, hours in zip(week.weights, week.hours, strict=True):
        spilled += np.maximum(requests_per_s * weight - held_per_s, 0.0) * (hours / HOURS_PER_WEEK)
    return np.asarray(np.divide(spilled, requests_per_s, out=np.zeros_like(spilled), where=requests_per_s > 0))


def step_rates_per_s(curve: CapacityCurve, rules: FleetRules, replicas_per_machine: int, count: int) -> Array:
    """The first `count` rates [1/s] above which one more machine is needed: the edges of the staircase, ascending."""
    first = max(-(-max(rules.min_replicas, rules.spare_replicas) // replicas_per_machine), 1)
    replicas = np.arange(first, first + count, dtype=float) * replicas_per_machine - rules.spare_replicas
    return held_rate_per_s(curve, replicas)
