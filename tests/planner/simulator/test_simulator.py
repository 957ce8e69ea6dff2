"""The leaping simulator against a plain one, hand-worked numbers, queueing theory and conservation laws."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_simulator import Request, route, serve

from planner.profile import EngineLimits, Scheduler, StepTime
from planner.simulator.simulate import PREFIX_SLACK, Routing, SimResult, simulate, simulate_closed_loop
from planner.traces.prefix import prefix_blocks
from planner.workload import Workload

SIMPLE = StepTime(
    base_s=0.01,
    per_prefill_token_s=0.001,
    per_sequence_s=0.0,
    per_sqrt_sequence_s=0.0,
    per_resident_token_s=0.0,
    per_attention_pair_s=0.0,
    request_overhead_s=0.0,
)
FULL = StepTime(
    base_s=0.0061,
    per_prefill_token_s=61e-6,
    per_sequence_s=53e-6,
    per_sqrt_sequence_s=310e-6,
    per_resident_token_s=17e-8,
    per_attention_pair_s=2.3e-8,
    request_overhead_s=0.004,
)
CURVED = dataclasses.replace(
    FULL,
    per_sequence_s=0.0,
    per_sqrt_sequence_s=0.0,
    decode_curve=((1, 0.0), (2, 0.011), (4, 0.018), (8, 0.046)),
    per_squared_context_s=3.1e-10,
    mixed_step_s=0.0037,
)
PAGED = EngineLimits(
    scheduler=Scheduler.PAGED,
    max_sequences=8,
    step_token_budget=64,
    context_tokens=4096,
    kv_capacity_tokens=100_000,
)
SLOTS = dataclasses.replace(PAGED, scheduler=Scheduler.SLOTS)


def _workload(rows: list[tuple[float, int, int]]) -> Workload:
    arrival_s, prompt, output = (np.array(column) for column in zip(*rows, strict=True))
    return Workload(
        name="hand",
        arrival_s=arrival_s.astype(np.float64),
        input_tokens=prompt.astype(np.int64),
        output_tokens=output.astype(np.int64),
        span_s=max(float(arrival_s[-1]), 1.0),
        starts_at=None,
        source="by hand",
    )


def test_a_lone_request_by_hand() -> None:
    limits = dataclasses.replace(PAGED, step_token_budget=512)
    result = simulate(SIMPLE, limits, _workload([(0.0, 100, 11)]), replicas=1)
    # one prompt step 0.01 + 100 * 0.001 = 0.11 s, then ten steps of 0.01 s
    assert result.ttft_s[0] == pytest.approx(0.11)
    assert result.tpot_s[0] == pytest.approx(0.01)
    assert result.e2e_s[0] == pytest.approx(0.21)
    assert result.busy_s[0] == pytest.approx(0.21)
    assert (result.queue_s[0], result.steps) == (0.0, 11)


def test_a_prompt_longer_than_the_budget_takes_several_steps() -> None:
    # 100 tokens in chunks of 64 and 36: 2 * 0.01 + 100 * 0.001
    result = simulate(SIMPLE, PAGED, _workload([(0.0, 100, 1)]), replicas=1)
    assert result.ttft_s[0] == pytest.approx(0.12)
    assert np.isnan(result.tpot_s[0])


def test_a_second_request_interrupts_the_first_by_hand() -> None:
    # first: prompt of 40 done at 0.05, decodes at 0.06, 0.07; the second comes at 0.065, joins the step from 0.07 on,
    # which holds 1 decode and 20 prompt tokens: 0.03 s, so both get a token at 0.10
    result = simulate(SIMPLE, PAGED, _workload([(0.0, 40, 4), (0.065, 20, 2)]), replicas=1)
    assert result.e2e_s[0] == pytest.approx(0.10)
    assert result.ttft_s[1] == pytest.approx(0.035)
    assert result.queue_s[1] == pytest.approx(0.005)
    assert result.e2e_s[1] == pytest.approx(0.045)


def test_the_overhead_is_added_once() -> None:
    with_overhead = dataclasses.replace(SIMPLE, request_overhead_s=0.5)
    result = simulate(with_overhead, PAGED, _workload([(0.0, 10, 3)]), replicas=1)
    assert result.ttft_s[0] == pytest.approx(0.52)
    assert result.e2e_s[0] == pytest.approx(0.54)


def test_a_newcomer_beside_decoding_sequences_costs_a_second_pass() -> None:
    # as in the test of the interrupted request, but the step with both kinds takes 5 ms longer
    mixed = dataclasses.replace(SIMPLE, mixed_step_s=0.005)
    result = simulate(mixed, PAGED, _workload([(0.0, 40, 4), (0.065, 20, 2)]), replicas=1)
    assert result.e2e_s[0] == pytest.approx(0.105)
    assert result.ttft_s[1] == pytest.approx(0.04)


def test_round_robin_over_replicas() -> None:
    rows = [(0.0, 50, 5)] * 4
    apart = simulate(SIMPLE, PAGED, _workload(rows), replicas=4)
    alone = simulate(SIMPLE, PAGED, _workload(rows[:1]), replicas=1)
    assert apart.e2e_s == pytest.approx([alone.e2e_s[0]] * 4)
    assert apart.busy_s == pytest.approx([alone.busy_s[0]] * 4)


def test_a_request_that_no_replica_can_hold_is_counted_not_served() -> None:
    result = simulate(SIMPLE, PAGED, _workload([(0.0, 4000, 97), (0.0, 10, 2)]), replicas=1)
    assert result.too_long == 1
    assert np.isnan(result.e2e_s[0])
    assert result.e2e_s[1] > 0


requests = st.lists(
    st.tuples(st.floats(0, 0.3), st.integers(1, 200), st.integers(1, 60)),
    min_size=1,
    max_size=40,
)
engines = st.builds(
    EngineLimits,
    scheduler=st.sampled_from(Scheduler),
    max_sequences=st.integers(1, 9),
    step_token_budget=st.integers(1, 300),
    context_tokens=st.just(4096),
    kv_capacity_tokens=st.integers(261, 1500),
)


def _rows(gaps: list[tuple[float, int, int]]) -> list[tuple[float, int, int]]:
    arrivals = np.cumsum([gap for gap, _, _ in gaps]).tolist()
    return [(float(a), prompt, output) for a, (_, prompt, output) in zip(arrivals, gaps, strict=True)]


def _same(fast: SimResult, finished: list[Request], overhead_s: float) -> None:
    by_index = sorted(finished, key=lambda r: r.index)
    for name, values in {
        "ttft_s": [r.first_s - r.arrival_s + overhead_s for r in by_index],  # type: ignore[operator]
        "e2e_s": [r.last_s - r.arrival_s + overhead_s for r in by_index],  # type: ignore[operator]
        "queue_s": [r.scheduled_s - r.arrival_s for r in by_index],  # type: ignore[operator]
    }.items():
        assert getattr(fast, name) == pytest.approx(values, abs=1e-9), name


@settings(max_examples=300, deadline=None)
@given(
    gaps=requests,
    limits=engines,
    step_time=st.sampled_from([FULL, CURVED]),
    in_flight=st.integers(1, 12),
    resend_s=st.sampled_from([0.0, 0.0031]),
)
def test_leaps_equal_single_steps_in_a_closed_loop(
    gaps: list[tuple[float, int, int]], limits: EngineLimits, step_time: StepTime, in_flight: int, resend_s: float
) -> None:
    rows = _rows(gaps)
    asked = [Request(k, *row) for k, row in enumerate(rows)]
    plain = serve(step_time, limits, asked, in_flight, resend_s)
    workload = _workload(rows)
    fast = simulate_closed_loop(
        step_time,
        limits,
        workload.input_tokens,
        workload.output_tokens,
        concurrency=in_flight,
        start_s=workload.arrival_s[:in_flight],
        resend_s=resend_s,
    )
    assert (fast.steps, fast.preemptions) == (plain.steps, plain.preemptions)
    assert fast.busy_s[0] == pytest.approx(plain.busy_s, abs=1e-9)
    _same(fast, plain.finished, step_time.request_overhead_s)


@settings(max_examples=300, deadline=None)
@given(
    gaps=requests,
    limits=engines,
    step_time=st.sampled_from([FULL, CURVED]),
    cached_frac=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_leaps_equal_single_steps(
    gaps: list[tuple[float, int, int]], limits: EngineLimits, step_time: StepTime, cached_frac: float
) -> None:
    rows = _rows(gaps)
    cached = [min(int(prompt * cached_frac), prompt - 1) for _, prompt, _ in rows]
    asked = [Request(k, *row, cached=c) for k, (row, c) in enumerate(zip(rows, cached, strict=True))]
    plain = serve(step_time, limits, asked)
    fast = simulate(step_time, limits, _workload(rows), replicas=1, cached_frac=cached_frac)
    assert (fast.steps, fast.preemptions) == (plain.steps, plain.preemptions)
    assert fast.busy_s[0] == pytest.approx(plain.busy_s, abs=1e-9)
    _same(fast, plain.finished, step_time.request_overhead_s)


@settings(max_examples=200, deadline=None)
@given(gaps=requests, limits=engines, replicas=st.integers(1, 4))
def test_the_least_loaded_engine_is_the_one_that_single_steps_find(
    gaps: list[tuple[float, int, int]], limits: EngineLimits, replicas: int
) -> None:
    rows = _rows(gaps)
    plain = route(FULL, limits, [Request(k, *row) for k, row in enumerate(rows)], replicas)
    fast = simulate(FULL, limits, _workload(rows), replicas=replicas, routing=Routing.LEAST_LOADED)
    assert fast.busy_s == pytest.approx([engine.busy_s for engine in plain], abs=1e-9)
    _same(fast, [r for engine in plain for r in engine.finished], FULL.request_overhead_s)


patience = st.lists(st.one_of(st.just(np.inf), st.floats(-0.05, 0.6)), min_size=40, max_size=40)


@settings(max_examples=300, deadline=None)
@given(gaps=requests, limits=engines, replicas=st.integers(1, 3), waits=patience)
def test_who_loses_patience_is_who_single_steps_lose(
    gaps: list[tuple[float, int, int]], limits: EngineLimits, replicas: int, waits: list[float]
) -> None:
    rows = _rows(gaps)
    patience_s = np.array(waits[: len(rows)])
    asked = [
        Request(k, *row, leave_s=row[0] + wait)
        for k, (row, wait) in enumerate(zip(rows, patience_s.tolist(), strict=True))
        if wait >= 0
    ]
    routing = Routing.LEAST_LOADED
    plain = route(FULL, limits, asked, replicas)
    fast = simulate(FULL, limits, _workload(rows), replicas=replicas, routing=routing, patience_s=patience_s)
    finished = [r for engine in plain for r in engine.finished]
    assert np.flatnonzero(~fast.left).tolist() == sorted(r.index for r in finished)
    assert fast.busy_s == pytest.approx([engine.busy_s for engine in plain], abs=1e-9)
    for r in finished:
        assert fast.e2e_s[r.index] == pytest.approx(r.last_s - r.arrival_s + FULL.request_overhead_s, abs=1e-9)


def test_patience_by_hand() -> None:
    """One slot, 0.11 s a request, three at once: the second waits 0.11 s, the third would wait 0.22 s and leaves."""
    limits = dataclasses.replace(SLOTS, max_sequences=1, step_token_budget=4096)
    rows = [(0.0, 100, 1)] * 3
    result = simulate(SIMPLE, limits, _workload(rows), replicas=1, patience_s=np.full(3, 0.15))
    assert result.left.tolist() == [False, False, True]
    assert result.ttft_s[:2] == pytest.approx([0.11, 0.22])
    assert np.isnan(result.ttft_s[2])
    assert result.busy_s[0] == pytest.approx(0.22)
    never = simulate(SIMPLE, limits, _workload(rows), replicas=1, patience_s=np.array([-1.0, 0.0, 0.0]))
    assert never.left.tolist() == [True, False, True]
    with pytest.raises(ValueError, match="one element for each"):
        simulate(SIMPLE, limits, _workload(rows), replicas=1, patience_s=np.zeros(2))


chains = st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=40, max_size=40)


@settings(max_examples=300, deadline=None)
@given(gaps=requests, limits=engines, replicas=st.integers(1, 4), hashes=chains, routing=st.sampled_from(Routing))
def test_caches_and_prefix_aware_routing_are_those_of_single_steps(
    gaps: list[tuple[float, int, int]],
    limits: EngineLimits,
    replicas: int,
    hashes: list[list[int]],
    routing: Routing,
) -> None:
    """Blocks of 97 tokens, so that a cache holds only a few of them and forgets."""
    rows, mine = _rows(gaps), hashes[: len(gaps)]
    if routing is Routing.ROUND_ROBIN:
        replicas = 1  # then in turn and least loaded are the same
    asked = [Request(k, *row, blocks=tuple(blocks)) for k, (row, blocks) in enumerate(zip(rows, mine, strict=True))]
    slack = PREFIX_SLACK if routing is Routing.PREFIX_AWARE else None
    plain = route(FULL, limits, asked, replicas, slack=slack, block_tokens=97)
    blocks = prefix_blocks(mine, block_tokens=97)
    fast = simulate(FULL, limits, _workload(rows), replicas=replicas, routing=routing, prefixes=blocks)
    assert fast.cached_tokens.tolist() == [r.cached for r in asked]
    assert fast.busy_s == pytest.approx([engine.busy_s for engine in plain], abs=1e-9)
    _same(fast, [r for engine in plain for r in engine.finished], FULL.request_overhead_s)


def test_two_conversations_stay_on_their_engines() -> None:
    """Turns of A and B in the order A B B A A B: in turn both engines see both, by prefix each keeps its own."""
    turns = "ABBAAB"
    grown = {"A": 0, "B": 0}
    hashes = []
    for turn in turns:
        grown[turn] += 1
        hashes.append([ord(turn) * 100 + k for k in range(grown[turn])])
    rows = [(10.0 * k, 10 * len(h), 2) for k, h in enumerate(hashes)]
    blocks = prefix_blocks(hashes, block_tokens=10)
    cached = {
        routing: simulate(SIMPLE, PAGED, _workload(rows), replicas=2, routing=routing, prefixes=blocks).cached_tokens
        for routing in Routing
    }
    # every later turn finds all earlier ones: its own 10 new tokens are computed, at least the last prompt token is
    assert cached[Routing.PREFIX_AWARE].tolist() == [0, 0, 10, 10, 20, 20]
    assert cached[Routing.ROUND_ROBIN].sum() < cached[Routing.PREFIX_AWARE].sum()


def test_the_least_loaded_engine_helps_where_sizes_differ() -> None:
    """One long job and many short ones on two engines: in turn, half of the short ones wait behind the long one."""
    rows = [(0.0, 4000, 10)] + [(0.01 * k, 10, 2) for k in range(1, 20)]
    limits = dataclasses.replace(SLOTS, max_sequences=1, step_token_budget=4096, context_tokens=8192)
    in_turn = simulate(SIMPLE, limits, _workload(rows), replicas=2)
    routed = simulate(SIMPLE, limits, _workload(rows), replicas=2, routing=Routing.LEAST_LOADED)
    assert np.median(routed.e2e_s) < 0.5 < np.quantile(in_turn.e2e_s, 0.6)


def test_a_cached_prefix_is_not_computed_by_hand() -> None:
    # 60 of 100 prompt tokens cached: 40 are computed in one step of 0.01 + 40 * 0.001
    result = simulate(SIMPLE, PAGED, _workload([(0.0, 100, 1)]), replicas=1, cached_frac=0.6)
    assert result.ttft_s[0] == pytest.approx(0.05)
    with pytest.raises(ValueError, match="between 0 and 1"):
        simulate(SIMPLE, PAGED, _workload([(0.0, 100, 1)]), replicas=1, cached_frac=1.1)


def _poisson(rate_per_s: float, n: int, prompt: int, output: int) -> Workload:
    arrival_s = np.cumsum(np.random.default_rng(5).exponential(1 / rate_per_s, n))
    return _workload([(float(a), prompt, output) for a in arrival_s])


def test_one_at_a_time_is_an_m_d_1_queue() -> None:
    """Service time 0.1 s fixed, one slot, load 0.7: mean wait = rho * s / (2 * (1 - rho)) = 0.11667 s."""
    limits = dataclasses.replace(SLOTS, max_sequences=1, step_token_budget=4096)
    result = simulate(SIMPLE, limits, _poisson(7.0, 200_000, 90, 1), replicas=1)
    assert result.e2e_s.min() == pytest.approx(0.1)
    assert result.queue_s.mean() == pytest.approx(0.7 * 0.1 / (2 * 0.3), rel=0.03)


def test_memory_that_runs_out_puts_the_newest_back() -> None:
    """Room for 230 tokens and two requests that grow to 150: the second waits for the first and is computed again."""
    limits = dataclasses.replace(PAGED, kv_capacity_tokens=230)
    result = simulate(SIMPLE, limits, _workload([(0.0, 100, 50), (0.001, 100, 50)]), replicas=1)
    assert result.preemptions == 1
    assert result.e2e_s[0] < result.e2e_s[1]
    assert result.tpot_s[1] > result.tpot_s[0]


def test_memory_for_one_request_only_serves_them_in_turn() -> None:
    limits = dataclasses.replace(PAGED, kv_capacity_tokens=120)
    result = simulate(SIMPLE, limits, _workload([(0.0, 60, 50)] * 5), replicas=1)
    assert np.all(result.e2e_s > 0)
    assert np.all(np.diff(result.e2e_s) > 0)


def _tokens_served(result: SimResult, workload: Workload) -> int:
    served = ~np.isnan(result.e2e_s)
    return int(workload.output_tokens[served].sum())


def test_work_is_conserved() -> None:
    """With cost per prompt token and per decoded token only, busy time is the same on any number of replicas."""
    step_time = dataclasses.replace(SIMPLE, base_s=1e-9, per_sequence_s=0.002)
    workload = _poisson(50.0, 500, 100, 20)
    expected = 500 * (100 * 0.001 + 19 * 0.002)
    for replicas in (1, 2, 5):
        result = simulate(step_time, PAGED, workload, replicas=replicas)
        assert result.busy_s.sum() == pytest.approx(expected, rel=1e-3)
        assert _tokens_served(result, workload) == 10_000


def test_no_replica_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one replica"):
        simulate(SIMPLE, PAGED, _workload([(0.0, 1, 1)]), replicas=0)
