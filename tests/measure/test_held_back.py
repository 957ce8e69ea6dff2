"""Held-back runs: an engine whose steps are known makes the requests, and the prediction is exact."""

import dataclasses

import numpy as np
import pytest

from measure.held_back import held_back_runs
from measure.records import LevelRecord, Outcome, RequestRecord
from measure.slowness import Slowness, slowed
from measure.summary import summarise_level
from planner.profile import EngineLimits, Scheduler, StepTime
from planner.simulator.simulate import simulate
from planner.workload import Workload
from tests.measure.build import level, request

STEP_TIME = StepTime(
    base_s=0.01,
    per_prefill_token_s=0.001,
    per_sequence_s=0.002,
    per_sqrt_sequence_s=0.0,
    per_resident_token_s=0.0,
    per_attention_pair_s=0.0,
    request_overhead_s=0.0,
)
LIMITS = EngineLimits(
    scheduler=Scheduler.SLOTS,
    max_sequences=4,
    step_token_budget=512,
    context_tokens=1024,
    kv_capacity_tokens=4096,
)


KNOWN = Slowness(of_level=(None,), best=None)


def served(step_time: StepTime, count: int) -> tuple[LevelRecord, list[RequestRecord]]:
    """`count` requests of 10 prompt and 20 output tokens, two a second, as that engine serves them."""
    arrival_s = np.cumsum(np.random.default_rng(0).exponential(0.5, count))
    workload = Workload(
        name="w",
        arrival_s=arrival_s,
        input_tokens=np.full(count, 10),
        output_tokens=np.full(count, 20),
        span_s=float(arrival_s[-1]),
        starts_at=None,
        source="w",
    )
    done = simulate(step_time, LIMITS, workload, replicas=1)
    end_ms = 1000 * float(np.max(arrival_s + done.e2e_s)) + 1
    open_loop = level(start_ms=0, end_ms=end_ms, level="validate-50", mode="open", target=2.0, is_validation=True)
    requests = []
    for k in range(count):
        first = arrival_s[k] + done.ttft_s[k]
        times = first + np.arange(20) * done.tpot_s[k]
        content_ms = [1000 * float(t) for t in times]
        requests.append(
            request(start_ms=1000 * float(arrival_s[k]), content_ms=content_ms, index=k, level="validate-50")
        )
    return open_loop, requests


def check(step_time: StepTime, open_loop: LevelRecord, requests: list[RequestRecord]) -> list[float]:
    summary = summarise_level(open_loop, requests)
    (run,) = held_back_runs(step_time, LIMITS, [open_loop], [summary], {("validate-50", 1): requests}, KNOWN)
    assert run.tpot_mean is not None
    assert (run.rate_per_s, run.load_frac) == (2.0, 0.5)
    return [run.tpot_mean.error_frac, run.e2e_mean.error_frac, run.ttft_p95.error_frac]


def test_the_engine_that_served_them_predicts_its_own_requests() -> None:
    assert check(STEP_TIME, *served(STEP_TIME, 60)) == pytest.approx([0.0, 0.0, 0.0], abs=1e-4)


def test_an_engine_twice_as_fast_is_half_off() -> None:
    fast = dataclasses.replace(STEP_TIME, base_s=0.005, per_prefill_token_s=0.0005, per_sequence_s=0.001)
    tpot, e2e, _ = check(fast, *served(STEP_TIME, 60))
    assert tpot < -0.45
    assert e2e < -0.45


def test_a_machine_that_was_slower_during_the_run_is_predicted_as_slow() -> None:
    open_loop, requests = served(slowed(STEP_TIME, 1.25), 60)
    summary, by_level = summarise_level(open_loop, requests), {("validate-50", 1): requests}
    found = Slowness(of_level=(1.25,), best=0.9)
    (run,) = held_back_runs(STEP_TIME, LIMITS, [open_loop], [summary], by_level, found)
    assert run.slowness == 1.25
    assert run.e2e_mean.error_frac == pytest.approx(0.0, abs=1e-4)
    (blind,) = held_back_runs(STEP_TIME, LIMITS, [open_loop], [summary], by_level, KNOWN)
    assert blind.e2e_mean.error_frac < -0.2


def test_requests_that_were_cut_load_the_engine_but_are_not_compared() -> None:
    open_loop, requests = served(STEP_TIME, 60)
    cut = [
        dataclasses.replace(r, outcome=Outcome.CUT, output_tokens=5, requested_output_tokens=20) if r.index >= 55 else r
        for r in requests
    ]
    summary = summarise_level(open_loop, cut)
    (run,) = held_back_runs(STEP_TIME, LIMITS, [open_loop], [summary], {("validate-50", 1): cut}, KNOWN)
    assert run.requests == 55
    assert run.e2e_mean.error_frac == pytest.approx(0.0, abs=1e-4)


def test_invalid_runs_and_a_handful_of_requests_say_nothing() -> None:
    open_loop, requests = served(STEP_TIME, 4)
    summary = summarise_level(open_loop, requests)
    assert held_back_runs(STEP_TIME, LIMITS, [open_loop], [summary], {("validate-50", 1): requests}, KNOWN) == ()
    open_loop, requests = served(STEP_TIME, 30)
    bad = dataclasses.replace(summarise_level(open_loop, requests), valid=False)
    assert held_back_runs(STEP_TIME, LIMITS, [open_loop], [bad], {("validate-50", 1): requests}, KNOWN) == ()
