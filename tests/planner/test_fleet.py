"""The vectorised staircase against the scalar one that the capacity side defines."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.capacity import CapacityCurve, FleetRules, plan_hours, replicas_for
from planner.fleet import machine_hours_per_week, machines_needed, replicas_needed, step_rates_per_s, week_of
from planner.workload import flat_week, servegen_week

CURVE = CapacityCurve(
    replicas=(1, 2, 3, 4),
    max_requests_per_s=(0.5, 1.2, 1.9, 2.8),
    busy_s_per_request=1.4,
    requests_outside_hull_frac=0.0,
)
rules = st.builds(
    FleetRules, spare_replicas=st.integers(0, 3), min_replicas=st.integers(1, 5), scale_by_hour=st.booleans()
)
request_rates = st.floats(0.0, 40.0)


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
        hours * machines_needed(CURVE, many * weight, rule, per)
        for weight, hours in zip(week.weights, week.hours, strict=True)
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
    assert (above == at + 1).all()
