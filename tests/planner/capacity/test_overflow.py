"""Overflow request by request: by hand, against the fluid share, and laws."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_case import ONE_AT_A_TIME

from planner.capacity.fleet import Week, overflow_frac, spilled_frac, week_of
from planner.capacity.overflow import patience_s, with_overflow
from planner.capacity.slo import Slo
from planner.capacity.staircase import CapacityCurve, SpillRow, capacity_curve
from planner.workload import Workload, servegen_week

SLO = Slo(attainment_frac=0.95, ttft_s=3.0)


def _poisson(requests: int, prompt: int = 1000) -> Workload:
    arrival_s = np.cumsum(np.random.default_rng(3).exponential(1.0, requests))
    return Workload(
        name="poisson",
        arrival_s=arrival_s - arrival_s[0],
        input_tokens=np.full(requests, prompt, dtype=np.int64),
        output_tokens=np.ones(requests, dtype=np.int64),
        span_s=float(arrival_s[-1] - arrival_s[0]),
        starts_at=None,
        source="a test",
    )


def _curve() -> CapacityCurve:
    found = capacity_curve(ONE_AT_A_TIME, _poisson(4000), SLO, max_requests_per_s=2.5)
    assert isinstance(found, CapacityCurve)
    return with_overflow(found, ONE_AT_A_TIME, _poisson(4000), SLO, api_ttft_s=0.5)


CURVE = _curve()
"""A replica serves one request at a time, in a second each."""


def test_patience_is_what_the_own_work_and_the_api_leave() -> None:
    lengths = np.array([500, 2800, 4000], dtype=np.int64)  # 0.5 s, 2.8 s and 4 s of work
    load = dataclasses.replace(_poisson(3), input_tokens=lengths)
    assert patience_s(ONE_AT_A_TIME, load, SLO, api_ttft_s=0.5) == pytest.approx([2.5, 0.2, -1.0])
    assert patience_s(ONE_AT_A_TIME, load, SLO, api_ttft_s=5.0)[0] == 0.0
    too_long = dataclasses.replace(load, input_tokens=np.array([500, 2800, 9000], dtype=np.int64))
    assert patience_s(ONE_AT_A_TIME, too_long, Slo(attainment_frac=0.9, e2e_s=60.0), api_ttft_s=0.5)[2] == -1.0


def test_a_replica_that_is_never_idle_serves_one_request_a_second() -> None:
    """Far beyond its capacity, at 8/s, it serves 1 of 8; at a hundredth of it nearly nobody has to leave."""
    at = np.array([8.0, 0.02])
    busy, idle = spilled_frac(CURVE, at, np.ones(2))
    assert busy == pytest.approx(1 - 1 / 8, abs=0.01)
    assert idle < 0.001
    assert spilled_frac(CURVE, np.array([640.0]), np.ones(1))[0] == pytest.approx(1 - 1 / 640, abs=0.001)


def test_an_m_d_1_queue_with_waits_of_two_seconds_loses_what_theory_says() -> None:
    """Poisson arrivals at rate 1, service 1 s, waits of at most 2 s: what an M/D/1 queue with that impatience loses.

    Simulated here once more by the recursion of the workload: who finds more than 2 s of work ahead goes away.
    """
    arrivals = np.cumsum(np.random.default_rng(9).exponential(1.0, 400_000))
    work, before, lost = 0.0, 0.0, 0
    for at in arrivals.tolist():
        work = max(work - (at - before), 0.0)
        before = at
        if work > 2.0:
            lost += 1
        else:
            work += 1.0
    assert spilled_frac(CURVE, np.array([1.0]), np.ones(1))[0] == pytest.approx(lost / 400_000, abs=0.03)


def test_without_machines_everything_leaves_and_without_traffic_nothing() -> None:
    assert spilled_frac(CURVE, np.array([1.0, 0.0]), np.array([0.0, 1.0])).tolist() == [1.0, 0.0]


@given(st.floats(0.01, 60.0), st.floats(1.0, 3.0), st.integers(1, 40))
def test_more_load_never_leaves_fewer_and_more_replicas_never_more(rate: float, factor: float, n: int) -> None:
    at = np.array([rate, rate * factor])
    low, high = spilled_frac(CURVE, at, np.full(2, float(n)))
    assert low <= high + 1e-12
    assert at[0] * low <= at[1] * high + 1e-12
    same_row = [row.replicas for row in CURVE.spill if row.replicas <= n][-1]
    assert spilled_frac(CURVE, at, np.full(2, float(same_row)))[0] >= low - 1e-12


@given(st.floats(0.02, 60.0), st.integers(1, 12))
def test_the_week_by_its_table_is_the_week_hour_by_hour(rate: float, n: int) -> None:
    week, fleet = week_of(servegen_week()), np.array([float(n)])
    weights, hours = np.array(week.weights), np.array(week.hours)
    each = spilled_frac(CURVE, rate * weights, np.full(weights.size, float(n)))
    assert overflow_frac(CURVE, np.array([rate]), fleet, week)[0] == pytest.approx(
        float((each * weights * hours).sum() / 168), abs=2e-3
    )


def test_between_and_beyond_simulated_loads_by_hand() -> None:
    row = SpillRow(replicas=1, requests_per_replica_s=(1.0, 4.0), spilled_frac=(0.0, 0.5))
    curve = dataclasses.replace(CURVE, spill=(row,))
    assert spilled_frac(curve, np.array([0.5, 2.0, 8.0]), np.ones(3)) == pytest.approx([0.0, 0.25, 0.75])
    two = Week(weights=(0.5, 1.5), hours=(84, 84))  # at 2/s: 1/s of which nobody leaves, 3/s of which 0.396 leave
    third = 0.5 * np.log(3) / np.log(4)
    assert overflow_frac(curve, np.array([2.0]), np.ones(1), two)[0] == pytest.approx(0.75 * third, abs=1e-3)
