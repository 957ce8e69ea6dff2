"""Replicas by hand, the laws of a staircase, and why something does not fit."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.capacity.fleet import replicas_needed
from planner.capacity.hours import plan_hours
from planner.capacity.odds import at_probability, curve_held_with
from planner.capacity.slo import Slo
from planner.capacity.staircase import CapacityCurve, FleetRules, Shortfall, capacity_curve, outside_hull_frac
from planner.errors import InputError
from planner.profile import (
    EngineLimits,
    Host,
    Hull,
    Memory,
    Profile,
    Provenance,
    Scheduler,
    StepTime,
    StepTimeFit,
    load_profile,
)
from planner.simulator.simulate import simulate
from planner.steptime.reference import reference_profile
from planner.traces.request_log import read_log
from planner.workload import WeekShape, Workload, at_rate, flat_week, servegen_week

ONE_AT_A_TIME = EngineLimits(
    scheduler=Scheduler.SLOTS, max_sequences=1, step_token_budget=4096, context_tokens=4096, kv_capacity_tokens=4096
)
SECOND_EACH = StepTime(
    base_s=0.0,
    per_prefill_token_s=0.01,
    per_sequence_s=0.0,
    per_sqrt_sequence_s=0.0,
    per_resident_token_s=0.0,
    per_attention_pair_s=0.0,
    request_overhead_s=0.0,
)


def _profile(step_time: StepTime = SECOND_EACH, limits: EngineLimits = ONE_AT_A_TIME) -> Profile:
    fit = StepTimeFit(
        step_time=step_time,
        posterior=(),
        hull=Hull(
            max_input_tokens=2000,
            max_output_tokens=500,
            max_concurrency=8,
            min_input_output_ratio=0.125,
            max_input_output_ratio=8.0,
        ),
        points=9,
        fitted_tpot_error_frac=None,
        fitted_ttft_error_frac=None,
        held_out_tpot_error_frac=None,
        held_out_ttft_error_frac=None,
    )
    return Profile(
        schema_version=1,
        provenance=Provenance(
            source="measured",
            tool_version="0",
            measured_at="2026-11-01T00:00:00Z",
            engine="llama.cpp",
            engine_version="0",
            engine_flags={},
            model="hand",
            is_synthetic=True,
            seed=1,
        ),
        host=Host(cpu_model="hand", cpu_cores=2, ram_gib=8.0, accelerators=(), os="linux"),
        limits=limits,
        fit=fit,
        memory=Memory(
            scope="process", weights_file_gib=None, kv_bytes_per_token=None, peak_gib=None, available_gib=None
        ),
        power=None,
        load_time_s=None,
        levels=(),
        missing={},
    )


def _even(requests: int, gap_s: float, prompt: int = 100, output: int = 1) -> Workload:
    return Workload(
        name="even",
        arrival_s=np.arange(requests) * gap_s,
        input_tokens=np.full(requests, prompt, dtype=np.int64),
        output_tokens=np.full(requests, output, dtype=np.int64),
        span_s=requests * gap_s,
        starts_at=None,
        source="by hand",
    )


def _curve(result: CapacityCurve | Shortfall) -> CapacityCurve:
    assert isinstance(result, CapacityCurve)
    return result


def replicas_for(curve: CapacityCurve, requests_per_s: float) -> int:
    return int(replicas_needed(curve, np.array([requests_per_s]))[0])


def test_even_arrivals_of_one_second_each_need_one_replica_per_request_per_second() -> None:
    slo = Slo(attainment_frac=1.0, e2e_s=1.5)
    curve = _curve(capacity_curve(_profile(), _even(240, 1.0), slo, max_requests_per_s=5.5))
    for n, rate in zip(curve.replicas, curve.max_requests_per_s, strict=True):
        assert rate == pytest.approx(n, rel=0.011)
        assert rate <= n
    assert curve.busy_s_per_request == pytest.approx(1.0)
    assert replicas_for(curve, 4.9) == 5


def test_the_curve_ends_where_the_rate_is_reached() -> None:
    curve = _curve(capacity_curve(_profile(), _even(200, 1.0), Slo(attainment_frac=1.0), max_requests_per_s=2.5))
    assert curve.replicas == (1, 2, 3)


def test_an_empty_replica_that_is_too_slow_is_a_shortfall_with_the_limit() -> None:
    result = capacity_curve(_profile(), _even(10, 1.0), Slo(attainment_frac=0.9, ttft_s=0.5), max_requests_per_s=1.0)
    assert isinstance(result, Shortfall)
    assert result.bottleneck == "TTFT of an empty replica"
    assert (result.needed, result.available, result.unit) == (0.5, pytest.approx(1.0), "s")
    assert "0%" in result.advice


def _with_posterior(*seconds_per_100_tokens: float) -> Profile:
    profile = _profile()
    sets = tuple(dataclasses.replace(SECOND_EACH, per_prefill_token_s=s / 100) for s in seconds_per_100_tokens)
    return dataclasses.replace(profile, fit=dataclasses.replace(profile.fit, posterior=sets))


def test_a_staircase_that_holds_for_nine_of_ten_step_times() -> None:
    """Service takes 0.8 to 1.7 s: at 90 % the second slowest counts, 1.6 s, so 1 / 1.6 = 0.625/s for each replica."""
    profile = _with_posterior(*(0.8 + 0.1 * k for k in range(10)))
    slo = Slo(attainment_frac=1.0)
    curve = _curve(curve_held_with(profile, _even(240, 1.0), slo, probability=0.9, max_requests_per_s=2.0))
    assert curve.max_requests_per_s == pytest.approx([n * 0.625 for n in curve.replicas], rel=0.011)
    assert curve.replicas == (1, 2, 3, 4)
    assert curve.busy_s_per_request == pytest.approx(1.7)


def test_step_times_too_slow_for_the_slo_may_be_as_many_as_the_probability_allows() -> None:
    profile = _with_posterior(0.8, 1.0, 2.0, 1.0)
    slo = Slo(attainment_frac=1.0, ttft_s=1.5)
    half = curve_held_with(profile, _even(240, 1.0), slo, probability=0.5, max_requests_per_s=2.0)
    assert isinstance(half, CapacityCurve)
    sure = curve_held_with(profile, _even(240, 1.0), slo, probability=0.9, max_requests_per_s=2.0)
    assert isinstance(sure, Shortfall)
    assert "1 of 4 equally likely step times" in sure.advice
    with pytest.raises(InputError, match="no posterior"):
        curve_held_with(_profile(), _even(10, 1.0), slo, probability=0.9, max_requests_per_s=1.0)
    with pytest.raises(InputError, match="between 0 and 1"):
        curve_held_with(profile, _even(10, 1.0), slo, probability=90, max_requests_per_s=1.0)


def test_the_step_time_at_a_probability_by_hand() -> None:
    """Of 1.3, 1.0, 1.2 and 1.1 s for each request, three quarters are at most 1.2 s."""
    profile, load = _with_posterior(1.3, 1.0, 1.2, 1.1), _even(20, 1.0)
    chosen = at_probability(profile, load, 0.75).fit.step_time
    assert chosen.per_prefill_token_s == pytest.approx(0.012)
    assert at_probability(profile, load, 0.8).fit.step_time.per_prefill_token_s == pytest.approx(0.013)
    assert at_probability(profile, load, None) is profile
    assert at_probability(_profile(), load, 0.9).fit.step_time == SECOND_EACH


@pytest.mark.parametrize(("prompt", "output"), [(100, 0), (100, 1), (1, 100)])
def test_all_prefill_and_all_decode(prompt: int, output: int) -> None:
    """Without output there is no TPOT to miss; with one prompt token the base step is what counts."""
    profile = _profile(dataclasses.replace(SECOND_EACH, base_s=0.01))
    slo = Slo(attainment_frac=1.0, ttft_s=5.0, tpot_s=0.02)
    curve = _curve(capacity_curve(profile, _even(240, 1.0, prompt, output), slo, max_requests_per_s=1.5))
    busy_s = 0.01 + 0.01 * prompt + 0.01 * max(output - 1, 0)
    assert curve.busy_s_per_request == pytest.approx(busy_s)
    assert curve.max_requests_per_s[0] == pytest.approx(1 / busy_s, rel=0.05)


def test_prompts_beyond_the_context_window_are_a_shortfall_in_tokens() -> None:
    workload = _even(10, 1.0, prompt=5000)
    result = capacity_curve(_profile(), workload, Slo(attainment_frac=0.9), max_requests_per_s=1.0)
    assert isinstance(result, Shortfall)
    assert (result.bottleneck, result.needed, result.available) == ("context window", 5001, 4096)
    assert "10 of 10" in result.advice


def test_bursts_that_no_fleet_holds_are_a_shortfall() -> None:
    """Twenty requests at one instant stay together however slow the log is replayed; 2 replicas serve them in turn."""
    workload = dataclasses.replace(_even(20, 1.0), arrival_s=np.zeros(20))
    slo = Slo(attainment_frac=0.9, ttft_s=2.5)
    result = capacity_curve(_profile(), workload, slo, max_replicas=2, max_requests_per_s=1.0)
    assert isinstance(result, Shortfall)
    assert result.bottleneck == "bursts"
    assert result.available == pytest.approx(0.2)  # the first two on each replica end in 1 s and 2 s


@pytest.mark.parametrize(
    "slo", [Slo(attainment_frac=0.0), Slo(attainment_frac=95.0), Slo(attainment_frac=0.9, ttft_s=0.0)]
)
def test_a_service_level_that_makes_no_sense(slo: Slo) -> None:
    with pytest.raises(InputError, match="SLO"):
        capacity_curve(_profile(), _even(10, 1.0), slo, max_requests_per_s=1.0)


def test_requests_outside_the_hull_by_hand() -> None:
    hull = _profile().fit.hull
    inside, long_prompt, long_output, lopsided = (1000, 200), (2001, 400), (1000, 501), (900, 100)
    rows = np.array([inside, long_prompt, long_output, lopsided], dtype=np.int64)
    workload = dataclasses.replace(_even(4, 1.0), input_tokens=rows[:, 0], output_tokens=rows[:, 1])
    assert outside_hull_frac(hull, workload) == 0.75


STAIRS = CapacityCurve(
    replicas=(1, 2, 3), max_requests_per_s=(0.5, 1.2, 2.0), busy_s_per_request=1.2, requests_outside_hull_frac=0.0
)


def test_replicas_on_the_stairs_and_beyond() -> None:
    assert [replicas_for(STAIRS, r) for r in (0.0, 0.1, 0.5, 0.51, 1.2, 2.0)] == [0, 1, 1, 2, 2, 3]
    # beyond: 2.0 / 3 per replica, so 5 / (2 / 3) = 7.5 -> 8
    assert [replicas_for(STAIRS, r) for r in (2.01, 5.0)] == [4, 8]


def test_a_flat_week_by_hand() -> None:
    plan = plan_hours(STAIRS, 1.0, flat_week(), FleetRules(spare_replicas=1))
    assert plan.peak_replicas == 3  # 2 needed and one spare
    assert plan.replica_hours_per_week == 3 * 168
    assert plan.utilisation_frac == pytest.approx(1.0 * 1.2 / 3)


def test_a_week_with_days_and_nights_by_hand() -> None:
    """Half the hours at 1.5 times the mean of 1/s, half at 0.5: 3 and 1 replicas needed."""
    shape = WeekShape(name="two levels", weights=(1.5,) * 84 + (0.5,) * 84, source="by hand")
    fixed = plan_hours(STAIRS, 1.0, shape, FleetRules(spare_replicas=1))
    assert (fixed.peak_replicas, fixed.replica_hours_per_week) == (4, 4 * 168)
    scaled = plan_hours(STAIRS, 1.0, shape, FleetRules(spare_replicas=1, scale_by_hour=True))
    assert (scaled.peak_replicas, scaled.replica_hours_per_week) == (4, 84 * 4 + 84 * 2)
    assert scaled.hours[100].paid_replicas == 2
    assert scaled.hours[100].utilisation_frac == pytest.approx(0.5 * 1.2 / 2)
    assert scaled.utilisation_frac == pytest.approx(168 * 1.2 / (84 * 4 + 84 * 2))


def test_no_load_may_cost_nothing() -> None:
    nothing = FleetRules(spare_replicas=0, min_replicas=0, scale_by_hour=True)
    plan = plan_hours(STAIRS, 0.0, flat_week(), nothing)
    assert (plan.peak_replicas, plan.replica_hours_per_week, plan.utilisation_frac) == (0, 0.0, 0.0)


@given(low=st.floats(0, 50), more=st.floats(0, 50), scale=st.booleans())
def test_more_load_never_needs_fewer(low: float, more: float, scale: bool) -> None:
    rules = FleetRules(scale_by_hour=scale)
    assert replicas_for(STAIRS, low) <= replicas_for(STAIRS, low + more)
    a, b = (plan_hours(STAIRS, rate, servegen_week(), rules) for rate in (low, low + more))
    assert a.replica_hours_per_week <= b.replica_hours_per_week
    assert a.peak_replicas <= b.peak_replicas


@settings(max_examples=25, deadline=None)
@given(
    gaps=st.lists(st.floats(0.01, 3), min_size=20, max_size=60),
    ttft_s=st.floats(0.3, 3),
    longer=st.floats(1, 3),
    attainment=st.floats(0.5, 1),
)
def test_a_longer_slo_never_needs_more(gaps: list[float], ttft_s: float, longer: float, attainment: float) -> None:
    arrival_s = np.cumsum(gaps) - gaps[0]
    n = arrival_s.size
    workload = dataclasses.replace(
        _even(n, 1.0),
        arrival_s=arrival_s,
        span_s=float(arrival_s[-1]),
        input_tokens=np.arange(10, 10 + n, dtype=np.int64),
        output_tokens=np.full(n, 3, dtype=np.int64),
    )
    limits = dataclasses.replace(ONE_AT_A_TIME, max_sequences=4, step_token_budget=32)
    profile = _profile(dataclasses.replace(SECOND_EACH, base_s=0.02), limits)
    strict = Slo(attainment_frac=attainment, ttft_s=ttft_s)
    lenient = Slo(attainment_frac=attainment * 0.9, ttft_s=ttft_s * longer)
    first = capacity_curve(profile, workload, strict, max_replicas=8, max_requests_per_s=1e9)
    second = capacity_curve(profile, workload, lenient, max_replicas=8, max_requests_per_s=1e9)
    if isinstance(first, CapacityCurve):
        second = _curve(second)
        strict_rate = dict(zip(first.replicas, first.max_requests_per_s, strict=True))
        for replicas, rate in zip(second.replicas, second.max_requests_per_s, strict=True):
            assert rate >= strict_rate.get(replicas, 0.0)
        assert list(first.max_requests_per_s) == sorted(first.max_requests_per_s)


def test_the_azure_log_on_a_slow_engine(azure_log) -> None:  # type: ignore[no-untyped-def]
    """About 3 busy seconds a request on two CPU cores: tens of replicas, and one more never carries less."""
    step_time = dataclasses.replace(
        SECOND_EACH,
        base_s=0.008,
        per_prefill_token_s=0.00116,
        per_attention_pair_s=1e-7,
        decode_curve=((1, 0.0), (2, 0.0085), (4, 0.0125), (8, 0.021)),
    )
    limits = dataclasses.replace(ONE_AT_A_TIME, max_sequences=8, step_token_budget=2048, context_tokens=9472)
    workload, _ = read_log(azure_log)
    slo = Slo(attainment_frac=0.95, ttft_s=30.0)
    curve = _curve(capacity_curve(_profile(step_time, limits), workload, slo, max_requests_per_s=2.57))
    assert 2.0 < curve.busy_s_per_request < 5.0
    needed = replicas_for(curve, 2.57)
    assert needed > 2.57 * curve.busy_s_per_request
    assert needed < 100
    assert np.all(np.diff(curve.max_requests_per_s) >= 0)


def test_whole_machines_are_paid_in_full() -> None:
    """2 replicas needed and one spare on machines of 5: one machine, so 5 are paid and 1.2 of them busy."""
    plan = plan_hours(STAIRS, 1.0, flat_week(), FleetRules(spare_replicas=1), replicas_per_machine=5)
    assert (plan.peak_replicas, plan.hours[0].paid_replicas, plan.replica_hours_per_week) == (3, 5, 5 * 168)
    assert plan.utilisation_frac == pytest.approx(1.2 / 5)


def test_an_engine_that_batches_is_not_full_because_it_is_busy() -> None:
    """Replies that overlap keep an engine busy from a few requests a second on, and it holds the SLO far beyond that:
    every rate of the staircase is one that the simulator holds, and 5 % more on one replica is not."""
    profile = reference_profile("llama-3.1-70b/h100_sxm/fp8/vllm/tp8")
    rng = np.random.default_rng(7)
    load = dataclasses.replace(
        _even(3000, 1.0),
        arrival_s=np.cumsum(rng.exponential(1.0, 3000)),
        input_tokens=rng.integers(10, 800, 3000),
        output_tokens=rng.integers(5, 300, 3000),
    )
    slo = Slo(attainment_frac=0.95, ttft_s=3.0, e2e_s=10.0)
    curve = _curve(capacity_curve(profile, load, slo, max_requests_per_s=60.0))

    def held_frac(replicas: int, rate: float) -> float:
        result = simulate(profile.fit.step_time, profile.limits, at_rate(load, rate), replicas=replicas)
        return float(np.mean((result.ttft_s <= 3.0) & (result.e2e_s <= 10.0)))

    assert curve.replicas[-1] <= 4
    for replicas, rate in zip(curve.replicas, curve.max_requests_per_s, strict=True):
        assert held_frac(replicas, rate) >= 0.95
    assert held_frac(1, 1.05 * curve.max_requests_per_s[0]) < 0.95


def test_a_backlog_that_a_short_log_hides_is_no_capacity() -> None:
    """One second each, and 50 s of patience: a log of 100 could be sent at 1.5/s, with the backlog growing all along.
    A target of 80 % leaves a fifth of what the engine gets through."""
    slo = Slo(attainment_frac=1.0, ttft_s=50.0)
    full = _curve(capacity_curve(_profile(), _even(100, 1.0), slo, max_requests_per_s=3.0))
    assert full.max_requests_per_s[0] == pytest.approx(1.0, rel=0.011)
    part = _curve(capacity_curve(_profile(), _even(100, 1.0), slo, max_requests_per_s=3.0, target_utilisation_frac=0.8))
    assert part.max_requests_per_s[0] == pytest.approx(0.8, rel=0.011)


def test_every_size_of_the_staircase_holds_its_rate(azure_log: Path, repository: Path) -> None:
    """Dealt in turn, some sizes meet the rhythm of the log's bursts and hold less than their neighbours."""
    load = read_log(azure_log)[0]
    profile = load_profile(repository / "examples" / "profile.json")
    slo = Slo(attainment_frac=0.95, ttft_s=100.0)
    curve = _curve(capacity_curve(profile, load, slo, max_requests_per_s=7.0))
    assert curve.replicas[-1] > 30
    before = 0.0
    for replicas, rate in zip(curve.replicas, curve.max_requests_per_s, strict=True):
        if rate > before:
            result = simulate(profile.fit.step_time, profile.limits, at_rate(load, rate), replicas=replicas)
            assert np.mean(result.ttft_s <= 100.0) >= 0.95
        before = rate
