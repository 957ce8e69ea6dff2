"""Attainment by hour against queueing theory, against simulations of single hours, and laws."""

import csv
import dataclasses
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_case import ONE_AT_A_TIME, SCENARIO, write_case

from planner.capacity.attainment import attained_frac
from planner.capacity.fleet import replicas_needed, spilled_frac
from planner.capacity.hours import NO_REQUESTS, NOT_SIMULATED, base_hours, plan_hours
from planner.capacity.odds import curve_held_with
from planner.capacity.overflow import with_overflow
from planner.capacity.slo import AttainmentRow, Slo, attainment_frac
from planner.capacity.staircase import CapacityCurve, CapacityPlan, FleetRules, ServiceShares, capacity_curve
from planner.decision.decide import make_plan, size_fleets
from planner.export.directory import plan_files
from planner.scenario.load import load_inputs
from planner.simulator.simulate import simulate
from planner.workload import WeekShape, Workload, at_rate, flat_week, servegen_week

SLO = Slo(attainment_frac=0.95, ttft_s=3.0)


def poisson(requests: int) -> Workload:
    """Requests at random, a second of work each for the replica of `plan_case`, which serves one at a time."""
    arrival_s = np.cumsum(np.random.default_rng(5).exponential(1.0, requests))
    return Workload(
        name="poisson",
        arrival_s=arrival_s - arrival_s[0],
        input_tokens=np.full(requests, 1000, dtype=np.int64),
        output_tokens=np.ones(requests, dtype=np.int64),
        span_s=float(arrival_s[-1] - arrival_s[0]),
        starts_at=None,
        source="a test",
    )


LOAD = poisson(30_000)


def found(load: Workload = LOAD, slo: Slo = SLO, up_to_per_s: float = 8.0) -> CapacityCurve:
    curve = capacity_curve(ONE_AT_A_TIME, load, slo, max_requests_per_s=up_to_per_s)
    assert isinstance(curve, CapacityCurve)
    return curve


CURVE = found()


def shares(week: CapacityPlan, hour: int) -> ServiceShares:
    known = week.hours[hour].shares
    assert known is not None
    return known


def waits_at_most_two_seconds(busy_frac: float) -> float:
    """Share of M/D/1 customers who wait 2 service times or less (Erlang 1909), at a server that is so busy."""
    return (1 - busy_frac) * (math.exp(2 * busy_frac) - busy_frac * math.exp(busy_frac))


@pytest.mark.parametrize("busy_frac", [0.1, 0.2, 0.3, 0.4, 0.45, 0.49])
def test_one_replica_attains_what_erlang_says(busy_frac: float) -> None:
    """Requests at random of a second each on one server: in time is who waits 2 s of the 3 s to the first token."""
    at = attained_frac(CURVE, np.array([busy_frac]), np.ones(1))[0]
    assert at == pytest.approx(waits_at_most_two_seconds(busy_frac), abs=0.003)


def test_the_highest_rate_is_where_erlang_says_five_in_a_hundred_wait_longer() -> None:
    assert waits_at_most_two_seconds(CURVE.max_requests_per_s[0]) == pytest.approx(0.95, abs=0.003)


@pytest.mark.parametrize(("replicas", "part"), [(2, 0.6), (3, 0.95), (5, 0.4), (8, 0.77)])
def test_an_hour_is_the_simulation_of_that_hour(replicas: int, part: float) -> None:
    rate = part * CURVE.max_requests_per_s[CURVE.replicas.index(replicas)]
    hour = simulate(ONE_AT_A_TIME.fit.step_time, ONE_AT_A_TIME.limits, at_rate(LOAD, rate), replicas=replicas)
    at = attained_frac(CURVE, np.array([rate]), np.array([float(replicas)]))[0]
    assert at == pytest.approx(attainment_frac(hour, SLO), abs=0.003)


def test_between_rates_and_sizes_by_hand() -> None:
    row = AttainmentRow(replicas=1, requests_per_replica_s=(0.0, 2.0), attained_frac=(1.0, 0.96))
    larger = dataclasses.replace(row, replicas=5, attained_frac=(1.0, 0.98))
    curve = dataclasses.replace(CURVE, attainment=(row, larger))
    at = attained_frac(curve, np.array([1.0, 3.0, 5.0, 8.0, 10.0]), np.array([1.0, 3.0, 5.0, 8.0, 4.0]))
    assert at[:4] == pytest.approx([0.98, 0.985, 0.99, 0.99])  # half way from 1 to 5 replicas; 8 count as 5
    assert np.isnan(at[4])  # 2.5/s for each of 4 is more than was simulated
    assert np.isnan(attained_frac(curve, np.array([0.0, 1.0]), np.array([1.0, 0.0]))).all()


TWO_HALVES = WeekShape(name="two levels", weights=(1.5,) * 84 + (0.5,) * 84, source="by hand")


def test_a_week_is_the_mean_of_its_hours_by_their_requests() -> None:
    """One replica without a spare one at 0.3/s: busy 45 % in one half of the week, 15 % in the other."""
    week = plan_hours(CURVE, 0.3, TWO_HALVES, FleetRules(spare_replicas=0))
    full, quiet = waits_at_most_two_seconds(0.45), waits_at_most_two_seconds(0.15)
    assert shares(week, 0).attained_frac == pytest.approx(full, abs=0.003)
    assert shares(week, 100).attained_frac == pytest.approx(quiet, abs=0.003)
    assert week.shares is not None
    assert week.shares.attained_frac == pytest.approx(0.75 * full + 0.25 * quiet, abs=0.003)
    assert week.shares.overflow_frac == 0.0


@given(st.floats(0.01, 40.0), st.booleans(), st.integers(0, 2), st.integers(1, 5))
def test_planned_hours_hold_the_service_level_and_make_up_the_week(
    rate: float, scale: bool, spare: int, per_machine: int
) -> None:
    """Also beyond the largest fleet that was simulated. The mean is summed here by requests, one by one."""
    rules = FleetRules(spare_replicas=spare, scale_by_hour=scale, min_up_h=2, boot_s=600.0)
    week = plan_hours(CURVE, rate, servegen_week(), rules, replicas_per_machine=per_machine)
    requests, kept = 0.0, 0.0
    for hour in week.hours:
        assert hour.shares is not None
        assert hour.shares.attained_frac >= SLO.attainment_frac
        assert sum(dataclasses.astuple(hour.shares)) == pytest.approx(1.0)
        requests += hour.requests_per_s
        kept += hour.requests_per_s * hour.shares.attained_frac
    assert week.shares is not None
    assert week.shares.attained_frac == pytest.approx(kept / requests)


def test_a_replica_that_boots_serves_nobody() -> None:
    """Paid an hour before the busy half begins, it makes that hour dearer and no better."""
    rules = FleetRules(spare_replicas=0, scale_by_hour=True, boot_s=600.0)
    week = plan_hours(CURVE, 1.0, TWO_HALVES, rules)
    before, earlier = week.hours[167], week.hours[150]
    assert before.paid_replicas > earlier.paid_replicas
    assert before.shares == earlier.shares
    longer = plan_hours(CURVE, 1.0, TWO_HALVES, dataclasses.replace(rules, min_up_h=2))
    assert longer.hours[84].paid_replicas > earlier.paid_replicas  # kept for its second hour, it serves
    assert shares(longer, 84).attained_frac > shares(week, 84).attained_frac


def test_an_hour_without_requests_has_no_share_and_says_why() -> None:
    weights = (2.0,) * 84 + (0.0,) * 84
    week = plan_hours(CURVE, 1.0, WeekShape(name="nights off", weights=weights, source="by hand"), FleetRules())
    assert (week.hours[100].shares, week.hours[100].no_shares) == (None, NO_REQUESTS)
    assert week.shares == week.hours[0].shares
    bare = dataclasses.replace(CURVE, attainment=())
    unknown = plan_hours(bare, 1.0, flat_week(), FleetRules())
    assert (unknown.hours[0].shares, unknown.hours[0].no_shares, unknown.shares) == (None, NOT_SIMULATED, None)
    assert plan_hours(CURVE, 0.0, flat_week(), FleetRules()).shares is None


def test_what_a_base_leaves_to_the_api_and_what_it_misses() -> None:
    """With nobody waiting beyond the limit, who stays is in time: attained and left make up all."""
    load = poisson(4000)
    curve = with_overflow(found(load), ONE_AT_A_TIME, load, SLO, api_ttft_s=0.5)
    week = base_hours(curve, 1.0, TWO_HALVES, replicas=1)
    for hour in (0, 100):
        rate = week.hours[hour].requests_per_s
        away = float(spilled_frac(curve, np.array([rate]), np.ones(1))[0])
        assert shares(week, hour).overflow_frac == pytest.approx(away)
        assert shares(week, hour).missed_frac <= 1 - SLO.attainment_frac
    assert shares(week, 0).overflow_frac > shares(week, 100).overflow_frac > 0.0
    assert week.shares is not None
    assert sum(dataclasses.astuple(week.shares)) == pytest.approx(1.0)
    assert week.hours[0].paid_replicas == 1
    gone = week.hours[0].requests_per_s * (1 - shares(week, 0).overflow_frac)  # of a second each
    assert week.hours[0].utilisation_frac == pytest.approx(min(gone, 1.0))


def test_who_stays_and_is_too_slow_is_a_miss() -> None:
    """Every tenth request generates tokens at 0.2 s each where 0.1 s is allowed: at an API's side or missed here."""
    slow = dataclasses.replace(ONE_AT_A_TIME.fit.step_time, per_sequence_s=0.2)
    profile = dataclasses.replace(ONE_AT_A_TIME, fit=dataclasses.replace(ONE_AT_A_TIME.fit, step_time=slow))
    load = poisson(2000)
    output = np.where(np.arange(2000) % 50 == 0, 5, 1).astype(np.int64)
    load = dataclasses.replace(load, output_tokens=output)
    slo = dataclasses.replace(SLO, tpot_s=0.1)
    curve = capacity_curve(profile, load, slo, max_requests_per_s=2.0)
    assert isinstance(curve, CapacityCurve)
    alone = attained_frac(curve, np.array([1e-6]), np.ones(1))[0]
    assert alone == pytest.approx(0.98)  # 40 of 2,000 miss however few there are
    week = base_hours(with_overflow(curve, profile, load, slo, api_ttft_s=0.5), 0.01, flat_week(), replicas=1)
    assert shares(week, 0).overflow_frac + shares(week, 0).missed_frac == pytest.approx(0.02, abs=0.005)


def test_a_stated_probability_holds_for_that_part_of_the_step_times() -> None:
    """Of ten step times from 0.8 to 1.25 s at 90 %, the second worst share counts at every load."""
    factors = [0.8 + 0.05 * k for k in range(10)]
    step_time = ONE_AT_A_TIME.fit.step_time
    sets = tuple(dataclasses.replace(step_time, per_prefill_token_s=0.001 * factor) for factor in factors)
    profile = dataclasses.replace(ONE_AT_A_TIME, fit=dataclasses.replace(ONE_AT_A_TIME.fit, posterior=sets))
    load = poisson(4000)
    curve = curve_held_with(profile, load, SLO, probability=0.9, max_requests_per_s=2.0)
    assert isinstance(curve, CapacityCurve)
    for replicas, rate in zip(curve.replicas, curve.max_requests_per_s, strict=True):
        for part in (0.5, 0.85, 1.0):
            at = at_rate(load, part * rate)
            worlds = [attainment_frac(simulate(each, profile.limits, at, replicas=replicas), SLO) for each in sets]
            said = attained_frac(curve, np.array([part * rate]), np.array([float(replicas)]))[0]
            assert said == pytest.approx(sorted(worlds)[1], abs=0.006)
            assert said >= SLO.attainment_frac
            assert sum(frac >= SLO.attainment_frac for frac in worlds) >= 9


def test_the_files_of_a_plan_hold_the_shares(tmp_path: Path) -> None:
    scenario = SCENARIO.replace("[workload]", '[workload]\nweek_shape = "servegen"', 1)
    inputs = load_inputs(write_case(tmp_path, scenario))
    plan = make_plan(inputs, size_fleets(inputs))
    files = plan_files(plan)
    rows = [row for row in csv.DictReader(io.StringIO(files["hourly.csv"].decode())) if row["option"] == "cpu-1p-8c"]
    assert len(rows) == 168
    for row in rows:
        assert float(row["attained_frac"]) >= 0.99
        total = float(row["attained_frac"]) + float(row["overflow_frac"]) + float(row["missed_frac"])
        assert total == pytest.approx(1.0, abs=2e-6)
        assert row["no_shares"] == ""
    verdict = json.loads(files["verdict.json"])
    fleet = next(option["fleet"] for option in verdict["options"] if option["id"] == "cpu-1p-8c")
    mean = sum(float(row["attained_frac"]) * float(row["requests_per_s"]) for row in rows)
    mean /= sum(float(row["requests_per_s"]) for row in rows)
    assert fleet["shares"]["attained_frac"] == pytest.approx(mean, abs=1e-6)


def test_a_fleet_that_was_found_by_search_is_never_above_its_rows() -> None:
    """Every fleet size at its highest rate finds a row that reaches that far."""
    for replicas, rate in zip(CURVE.replicas, CURVE.max_requests_per_s, strict=True):
        assert replicas_needed(CURVE, np.array([rate]))[0] <= replicas
        at = attained_frac(CURVE, np.array([rate]), np.array([float(replicas)]))[0]
        assert at >= SLO.attainment_frac
