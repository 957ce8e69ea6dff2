"""What several offers at once cost: a base that runs all the time, and machines that come and go with the hours."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.capacity.fleet import Week, boot_hours, held_rate_per_s, machines_needed, replicas_left, staffed_week
from planner.capacity.staircase import FleetRules
from planner.cost.draws import Draws
from planner.cost.host import owned_entries, rented_entries, service_entries
from planner.cost.options import STAGE_MONTHS, Frame, MixOption, OwnOption, RentOption
from planner.cost.paths import host_requests_per_s, requests_per_s
from planner.cost.schedule import Entry
from planner.units import HOURS_PER_MONTH, HOURS_PER_WEEK

Array = NDArray[np.floating[Any]]

_TOLERANCE = 1e-9


def mix_entries(option: MixOption, frame: Frame, draws: Draws) -> tuple[Entry, ...]:
    """Every pool's machines, whole and paid busy or idle, and one service around them.

    The base has the planned number of machines in every world; what exceeds it is held by the hourly machines, or,
    where there are none, by more machines of the first pool, which once bought stay.
    """
    load = host_requests_per_s(draws, frame)
    base = base_of(option, frame, draws)
    in_all = np.asarray(sum(base.held_per_s, start=np.zeros_like(load)))
    entries: list[Entry] = []
    for pool, count, each in zip(option.base, base.machines, base.held_per_s, strict=True):
        if isinstance(pool.host, OwnOption):
            share = np.divide(each, in_all, out=np.zeros_like(each), where=in_all > 0)
            entries += owned_entries(pool.host, draws, count, base.load_per_s * share)
        else:
            entries += rented_entries(pool.host, frame, draws, count * HOURS_PER_MONTH)
    machine_hours = _hourly_machine_hours_per_week(option, frame, draws, load) * (HOURS_PER_MONTH / HOURS_PER_WEEK)
    for host, hours in zip(option.hourly, machine_hours, strict=True):
        entries += rented_entries(host, frame, draws, hours)
    served = requests_per_s(draws, frame)
    return (*entries, *service_entries(frame, draws, np.ones_like(load), served))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MixBase:
    """The machines of a mix that run all the time, pool by pool, each array of shape (worlds, months).

    `replicas` are those that may be counted on while the spare ones are down, `held_per_s` what they hold [1/s], and
    `load_per_s` what all pools together serve.
    """

    planned: tuple[Array, ...]
    machines: tuple[Array, ...]
    replicas: tuple[Array, ...]
    held_per_s: tuple[Array, ...]
    load_per_s: Array


def base_of(option: MixOption, frame: Frame, draws: Draws) -> MixBase:
    """How large the base is in every world and month, and what it serves."""
    load = host_requests_per_s(draws, frame)
    counts = _counts(option, frame, draws, load)
    pools = list(zip([pool.host for pool in option.base], counts, strict=True))
    held = [_held(option, frame, draws, host, count) for host, count in pools]
    return MixBase(
        planned=tuple(_planned(pool.machines_by_stage, load.shape) for pool in option.base),
        machines=tuple(counts),
        replicas=tuple(_replicas(option, frame, draws, host, count) for host, count in pools),
        held_per_s=tuple(held),
        load_per_s=_load_below(load, np.asarray(sum(held, start=np.zeros_like(load))), frame.week),
    )


def _load_below(load_per_s: Array, held_per_s: Array, week: Week) -> Array:
    """The mean load that machines which hold `held_per_s` serve of every hour's, each hour taken as even."""
    served = np.zeros_like(load_per_s)
    for weight, hours in zip(week.weights, week.hours, strict=True):
        served += np.minimum(load_per_s * weight, held_per_s) * (hours / HOURS_PER_WEEK)
    return served


def machines_at_peak(option: MixOption, frame: Frame, draws: Draws) -> tuple[tuple[str, int, bool], ...]:
    """Offer, machines at the first month's peak, and whether they come by the hour; in the first world."""
    load = host_requests_per_s(draws, frame)
    counts = _counts(option, frame, draws, load)
    held = sum(
        _held(option, frame, draws, pool.host, count) for pool, count in zip(option.base, counts, strict=True)
    ) + np.zeros_like(load)
    above = float(load[0, 0] * frame.week.peak - held[0, 0])
    step = next((s for s in option.steps if s.held_per_s >= above * (1 - _TOLERANCE)), option.steps[-1])
    base = [(pool.host.id, int(count[0, 0]), False) for pool, count in zip(option.base, counts, strict=True)]
    hourly = [
        (host.id, int(-(-replicas // np.floor(draws.values[f"{host.id}/replicas_per_machine"][0]))), True)
        for host, replicas in zip(option.hourly, step.replicas, strict=True)
    ]
    return tuple(row for row in (*base, *hourly) if row[1])


def replicas_by_hour(option: MixOption, frame: Frame, draws: Draws) -> tuple[tuple[RentOption | OwnOption, Array], ...]:
    """Replicas of every offer that serve in each hour of the first month's week; in the first world.

    Beyond the planned steps the last one is repeated. Raises `ValueError` for a week without the order of its hours.
    """
    if not frame.week.by_hour:
        raise ValueError("the hours of a mix need the order of the hours")
    week = staffed_week(frame.week, 0, frame.rules.min_up_h)
    load = host_requests_per_s(draws, frame)
    counts = _counts(option, frame, draws, load)
    in_all = 0.0
    found: list[tuple[RentOption | OwnOption, Array]] = []
    for pool, count in zip(option.base, counts, strict=True):
        in_all += float(_held(option, frame, draws, pool.host, count)[0, 0])
        per_machine = np.floor(draws.values[f"{pool.host.id}/replicas_per_machine"][0])
        found.append((pool.host, np.full(len(week.by_hour), count[0, 0] * per_machine)))
    above = load[0, 0] * np.array(week.by_hour) - in_all
    held = np.array([step.held_per_s for step in option.steps])
    step = np.minimum(np.searchsorted(held * (1 + _TOLERANCE), above), held.size - 1)
    repeated = np.maximum(np.ceil(above / held[-1] * (1 - _TOLERANCE)), 1.0) if held[-1] > 0 else np.ones(above.size)
    for place, host in enumerate(option.hourly):
        per_machine = np.floor(draws.values[f"{host.id}/replicas_per_machine"][0])
        replicas = np.array([s.replicas[place] for s in option.steps], dtype=float)[step] * repeated
        found.append((host, np.ceil(replicas / per_machine) * per_machine))
    return tuple(found)


def _counts(option: MixOption, frame: Frame, draws: Draws, load: Array) -> list[Array]:
    """Machines of each base pool, (worlds, months)."""
    counts = [_planned(pool.machines_by_stage, load.shape) for pool in option.base]
    if not option.hourly:
        counts[0] = _grown(option, frame, draws, load, counts)
    return counts


def _grown(option: MixOption, frame: Frame, draws: Draws, load: Array, counts: list[Array]) -> Array:
    """The first pool, as planned or as large as the peak asks for beside the other pools."""
    first = option.base[0].host
    others = [_held(option, frame, draws, p.host, n) for p, n in zip(option.base[1:], counts[1:], strict=True)]
    left = np.maximum(load * frame.week.peak - sum(others, start=np.zeros_like(load)), 0.0)
    rules = _rules(option, frame, first)
    needed = machines_needed(first.curve, left, rules, draws.column(f"{first.id}/replicas_per_machine"))
    return np.maximum.accumulate(np.maximum(counts[0], needed), axis=1)


def _hourly_machine_hours_per_week(option: MixOption, frame: Frame, draws: Draws, load_per_s: Array) -> Array:
    """Machine-hours a week of every hourly offer, (offers, worlds, months)."""
    result = np.zeros((len(option.hourly), *load_per_s.shape))
    if not option.hourly:
        return result
    week = hourly_week(option.hourly, frame)
    hosts = [*(pool.host for pool in option.base), *option.hourly]
    per = np.stack([np.floor(draws.values[f"{host.id}/replicas_per_machine"]) for host in hosts], axis=1)
    kinds, which = np.unique(per, axis=0, return_inverse=True)
    for kind, replicas in enumerate(kinds):
        worlds = np.flatnonzero(which.ravel() == kind)
        for stage in range(-(-load_per_s.shape[1] // STAGE_MONTHS)):
            months = np.arange(stage * STAGE_MONTHS, min((stage + 1) * STAGE_MONTHS, load_per_s.shape[1]))
            base = 0.0
            for pool, each in zip(option.base, replicas, strict=False):
                machines = np.array(float(pool.machines_by_stage[stage]))
                left = replicas_left(machines, each, _rules(option, frame, pool.host))
                base += float(held_rate_per_s(pool.host.curve, left))
            edges, totals = _tabulated(option, week, base, tuple(replicas[len(option.base) :].tolist()))
            load = load_per_s[np.ix_(worlds, months)]
            hours = totals[:, np.searchsorted(edges, load)]
            reach = (base + option.steps[-1].held_per_s) / week.peak
            result[np.ix_(np.arange(len(option.hourly)), worlds, months)] = hours * np.maximum(load / reach, 1.0)
    return result


@lru_cache(maxsize=256)
def _tabulated(
    option: MixOption, week: Week, base_held_per_s: float, replicas_per_machine: tuple[float, ...]
) -> tuple[Array, Array]:
    """Mean loads above which some hour goes up a step of the hourly staircase, and each offer's hours up to there."""
    held = np.array([step.held_per_s for step in option.steps]) + base_held_per_s
    machines = np.ceil(np.array([step.replicas for step in option.steps]) / np.array(replicas_per_machine))
    weights, hours = np.array(week.weights), np.array(week.hours, dtype=float)
    busy = weights > 0
    edges = (held[:-1, np.newaxis] / weights[busy]).ravel()
    order = np.argsort(edges, kind="stable")
    each_hour = np.diff(machines, axis=0)[:, np.newaxis, :] * hours[busy][np.newaxis, :, np.newaxis]
    gained = each_hour.reshape(-1, machines.shape[1])[order].cumsum(axis=0)
    totals = machines[0] * HOURS_PER_WEEK + np.concatenate([np.zeros((1, machines.shape[1])), gained])
    return edges[order] * (1 + _TOLERANCE), np.ascontiguousarray(totals.T)


def _planned(by_stage: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    months = np.repeat(np.array(by_stage, dtype=float), STAGE_MONTHS)[: shape[1]]
    return np.broadcast_to(months, shape).copy()


def _held(option: MixOption, frame: Frame, draws: Draws, host: RentOption | OwnOption, machines: Array) -> Array:
    return held_rate_per_s(host.curve, _replicas(option, frame, draws, host, machines))


def _replicas(option: MixOption, frame: Frame, draws: Draws, host: RentOption | OwnOption, machines: Array) -> Array:
    per_machine = np.floor(draws.column(f"{host.id}/replicas_per_machine"))
    return replicas_left(machines, per_machine, _rules(option, frame, host))


def _rules(option: MixOption, frame: Frame, host: RentOption | OwnOption) -> FleetRules:
    """Only one offer keeps the spare replicas of a mix; each is spread over the zones."""
    return frame.rules if host.id == option.spare_of else replace(frame.rules, spare_replicas=0, min_replicas=0)


def hourly_week(hourly: Sequence[RentOption], frame: Frame) -> Week:
    """The week that hourly machines are paid for: the slowest boot and the minimum up-time count for all of them."""
    if not hourly or not frame.rules.scale_by_hour:
        return frame.week
    return staffed_week(frame.week, max(boot_hours(h.curve, frame.rules) for h in hourly), frame.rules.min_up_h)
