"""The staircase on arrays against the same thing counted one step and one hour at a time."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.capacity.fleet import (
    Week,
    boot_hours,
    machine_hours_per_week,
    machines_needed,
    replicas_needed,
    staffed_week,
    step_rates_per_s,
    week_of,
)
from planner.capacity.hours import plan_hours
from planner.capacity.staircase import CapacityCurve, FleetRules
from planner.workload import flat_week, servegen_week

CURVE = CapacityCurve(
    replicas=(1, 2, 3, 4),
    max_requests_per_s=(0.5, 1.2, 1.9, 2.8),
    busy_s_per_request=1.4,
    requests_outside_hull_frac=0.0,
)
rules = st.builds(
    FleetRules,
    spare_replicas=st.integers(0, 3),
    min_replicas=st.integers(0, 5),
    scale_by_hour=st.booleans(),
    zones=st.integers(1, 4),
    min_up_h=st.integers(1, 6),
    boot_s=st.sampled_from([None, 0.0, 90.0, 3600.0, 7000.0]),
)
request_rates = st.floats(0.0, 40.0)


def replicas_for(curve: CapacityCurve, rate: float) -> int:
    """Step by step: the first that holds the rate; beyond the last, one more at the last step's rate per replica."""
    if rate <= 0:
        return 0
    for n, limit in zip(curve.replicas, curve.max_requests_per_s, strict=True):
        if rate <= limit:
            return n
    n = curve.replicas[-1]
    while n * curve.max_requests_per_s[-1] / curve.replicas[-1] < rate * (1 - 1e-9):
        n += 1
    return n


@given(request_rates)
def test_replicas_are_those_of_the_capacity_curve(rate: float) -> None:
    assert replicas_needed(CURVE, np.array([rate]))[0] == replicas_for(CURVE, rate)


@pytest.mark.parametrize("rate", [0.0, 0.5, 1.2, 1.9, 2.8, 2.8 * 5 / 4])
def test_a_rate_on_the_edge_still_fits(rate: float) -> None:
    assert replicas_needed(CURVE, np.array([rate]))[0] == replicas_for(CURVE, rate)


@given(request_rates, rules, st.sampled_from([flat_week(), servegen_week()]))
def test_one_replica_per_machine_bills_what_the_hour_plan_pays(rate: float, rule: FleetRules, shape: object) -> None:
    week = plan_hours(CURVE, rate, shape, rule)  # type: ignore[arg-type]
    hours = machine_hours_per_week(CURVE, np.array([rate]), week_of(shape), rule, np.ones(1))  # type: ignore[arg-type]
    assert hours[0] == pytest.approx(week.replica_hours_per_week)


@given(st.lists(request_rates, min_size=1, max_size=5), rules, st.integers(1, 6))
def test_hours_found_by_search_are_the_hours_added_up(rates: list[float], rule: FleetRules, per_machine: int) -> None:
    week, per = week_of(servegen_week()), np.array([float(per_machine)])
    rule = dataclasses.replace(rule, scale_by_hour=True)
    many = np.array([*rates, 5_000.0])  # the last one is far beyond the tabulated fleets
    one_by_one = sum(
        machines_needed(CURVE, many * weight, rule, per)
        for weight in staffed_week(week, boot_hours(CURVE, rule), rule.min_up_h).by_hour
    )
    assert machine_hours_per_week(CURVE, many, week, rule, per).tolist() == one_by_one.tolist()


@given(st.floats(0.0, 20.0), st.floats(1.0, 3.0), rules, st.integers(1, 8))
def test_more_load_never_needs_fewer_machines(rate: float, factor: float, rule: FleetRules, per_machine: int) -> None:
    low, high = machines_needed(CURVE, np.array([rate, rate * factor]), rule, np.array([float(per_machine)]))
    assert low <= high


def test_a_fraction_of_a_replica_carries_nothing() -> None:
    rule = FleetRules(spare_replicas=1)
    assert machines_needed(CURVE, np.array([1.0]), rule, np.array([2.9]))[0] == 2  # 2 + 1 replicas, 2 a machine


@given(rules, st.integers(1, 5))
def test_at_an_edge_the_machines_hold_and_just_above_it_one_more_is_needed(rule: FleetRules, per_machine: int) -> None:
    edges = step_rates_per_s(CURVE, rule, per_machine, 12)
    edges = edges[edges > 0]
    per = np.array([float(per_machine)])
    at = machines_needed(CURVE, edges, rule, per)
    above = machines_needed(CURVE, edges * (1 + 1e-8), rule, per)
    assert (above > at).all()
    idle = machines_needed(CURVE, np.zeros(1), rule, per)[0]
    every = step_rates_per_s(CURVE, rule, per_machine, 12)
    before_last = edges < edges[-1]
    counted = [idle + (every <= edge).sum() for edge in edges[before_last]]
    assert above[before_last].tolist() == counted


def test_boot_and_minimum_up_time_by_hand() -> None:
    """One busy hour at Monday 10:00. A boot of 20 minutes pays 9:00 too, a minimum of 3 hours 11:00 and 12:00."""
    busy = np.zeros(168)
    busy[10] = 168.0
    week = Week(weights=(0.0, 168.0), hours=(167, 1), by_hour=tuple(busy.tolist()))
    assert np.flatnonzero(staffed_week(week, 1, 3).by_hour).tolist() == [9, 10, 11, 12]
    to_zero = FleetRules(spare_replicas=0, min_replicas=0, scale_by_hour=True, boot_s=1200.0, min_up_h=3)
    rate = np.array([0.5 / 168])
    assert machine_hours_per_week(CURVE, rate, week, to_zero, np.ones(1)).tolist() == [4.0]
    at_once = dataclasses.replace(to_zero, boot_s=0.0, min_up_h=1)
    assert machine_hours_per_week(CURVE, rate, week, at_once, np.ones(1)).tolist() == [1.0]
    with pytest.raises(ValueError, match="order of the hours"):
        staffed_week(Week(weights=(1.0,), hours=(168,)), 1, 1)


def test_the_boot_time_is_the_measured_load_time_unless_it_is_stated() -> None:
    measured = dataclasses.replace(CURVE, load_time_s=3700.0)
    assert [boot_hours(CURVE, FleetRules()), boot_hours(measured, FleetRules())] == [0, 2]
    assert boot_hours(measured, FleetRules(boot_s=60.0)) == 1


@given(rules, st.floats(0.0, 30.0), st.integers(1, 6))
def test_without_the_fullest_zone_the_rest_still_serves(rule: FleetRules, rate: float, per_machine: int) -> None:
    machines = int(machines_needed(CURVE, np.array([rate]), rule, np.array([float(per_machine)]))[0])
    needed = replicas_for(CURVE, rate)
    zones = [machines // rule.zones + (zone < machines % rule.zones) for zone in range(rule.zones)]
    left = machines - max(zones) if rule.zones > 1 else machines
    assert left * per_machine >= needed
    fewer = machines - 1
    worse = fewer - -(-fewer // rule.zones) if rule.zones > 1 else fewer
    enough = fewer * per_machine >= max(needed + rule.spare_replicas * (needed > 0), rule.min_replicas)
    assert machines == 0 or not (enough and worse * per_machine >= needed)  # and no machine is idle for nothing


@given(rules, st.floats(0.0, 40.0), st.floats(1.0, 2.0))
def test_a_longer_boot_or_minimum_never_pays_fewer_hours(rule: FleetRules, rate: float, factor: float) -> None:
    rule = dataclasses.replace(rule, scale_by_hour=True, boot_s=1000.0)
    longer = dataclasses.replace(rule, boot_s=1000.0 * 4 * factor, min_up_h=rule.min_up_h + 2)
    week, rates, one = week_of(servegen_week()), np.array([rate]), np.ones(1)
    paid = [float(machine_hours_per_week(CURVE, rates, week, r, one)[0]) for r in (rule, longer)]
    assert paid[0] <= paid[1]
    assert paid[1] <= float(machines_needed(CURVE, rates * week.peak, rule, one)[0]) * 168
