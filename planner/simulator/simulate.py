"""What happens to every request of a workload on a number of replicas: queueing, TTFT, TPOT, E2E.

Deterministic, no randomness, no IO. The engine itself is in `planner.simulator.engine`.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from planner.profile import EngineLimits, Scheduler, StepTime
from planner.simulator.engine import BY_PREFIX, IN_TURN, LEAST_LOADED, run_fleet
from planner.simulator.step_cost import decode_s
from planner.traces.prefix import PrefixBlocks
from planner.workload import Workload


class Routing(StrEnum):
    """Which engine a request goes to."""

    ROUND_ROBIN = "round-robin"  # in turn
    LEAST_LOADED = "least-loaded"  # fewest unfinished requests
    PREFIX_AWARE = "prefix-aware"  # most of the prompt's beginning seen, unless that engine is much fuller


_PLACES = {Routing.ROUND_ROBIN: IN_TURN, Routing.LEAST_LOADED: LEAST_LOADED, Routing.PREFIX_AWARE: BY_PREFIX}

PREFIX_SLACK = 8
"""Unfinished requests that an engine may have more than the emptiest one and still be chosen for its cache: a choice of
ours, about one batch of a small engine, so that one popular prefix does not pile up on one engine."""

_NO_BLOCKS = PrefixBlocks(
    start=np.zeros(1, dtype=np.int64), blocks=np.zeros(0, dtype=np.int64), count=0, block_tokens=1
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SimResult:
    """One element per request, in the workload's order; NaN for a request that no replica served.

    `ttft_s` and `e2e_s` include the queue and the per-request overhead; `queue_s` ends when the first prompt token is
    scheduled; `tpot_s` is NaN for fewer than two output tokens. `busy_s` has one element per replica.
    `arrival_s` is the workload's, or, in a closed loop, when each request was sent. `cached_tokens` of each prompt were
    in the prefix cache. Not served are the `too_long` ones, which no replica can hold, and the `left` ones, which lost
    patience.
    """

    arrival_s: NDArray[np.float64]
    ttft_s: NDArray[np.float64]
    tpot_s: NDArray[np.float64]
    e2e_s: NDArray[np.float64]
    queue_s: NDArray[np.float64]
    busy_s: NDArray[np.float64]
    cached_tokens: NDArray[np.int64]
    left: NDArray[np.bool_]
    end_s: float
    steps: int
    preemptions: int
    too_long: int


def simulate(
    step_time: StepTime,
    limits: EngineLimits,
    workload: Workload,
    *,
    replicas: int,
    routing: Routing = Routing.ROUND_ROBIN,
    cached_frac: float = 0.0,
    prefixes: PrefixBlocks | None = None,
    patience_s: NDArray[np.float64] | None = None,
) -> SimResult:
    """Serve the workload on `replicas` engines.

    A request longer than `context_tokens` (prompt + output) or than the KV memory is not served and counted in
    `too_long`. `cached_frac` of every prompt (whole tokens, never the last one) is taken to be in the prefix cache:
    it is not computed, but attended to and resident. With `prefixes` every replica has a cache of its own instead, as
    large as its KV memory, and the least recently used blocks go first; a prompt counts as cached from the moment that
    it is sent. A request that is not scheduled within its `patience_s` leaves the queue, at the first step boundary
    after it where it is the next to be served, and is not served; below 0 it never enters. Raises `ValueError` for
    fewer than one replica, a share outside 0 to 1, or arrays of another length than the workload.

    With base 10 ms, 1 ms a prompt token, nothing else: a lone request of 100 prompt and 11 output tokens has a TTFT of
    0.11 s and a TPOT of 0.01 s, so an E2E of 0.21 s.
    """
    if replicas < 1:
        raise ValueError(f"needs at least one replica, got {replicas}")
    if not 0 <= cached_frac <= 1:
        raise ValueError(f"a share of cached prompt tokens lies between 0 and 1, got {cached_frac}")
    prompt, output = workload.input_tokens, workload.output_tokens
    if (patience_s is not None and patience_s.size != prompt.size) or (
        prefixes is not None and prefixes.start.size != prompt.size + 1
    ):
        raise ValueError(f"patience and prefixes need one element for each of the {prompt.size} requests")
    arrival_s = np.ascontiguousarray(workload.arrival_s, dtype=np.float64)
    return _run(
        step_time,
        limits,
        arrival_s,
        prompt,
        output,
        replicas,
        routing,
        cached_frac,
        in_flight=0,
        prefixes=prefixes or _NO_BLOCKS,
        patience_s=patience_s,
    )


def simulate_closed_loop(
    step_time: StepTime,
    limits: EngineLimits,
    input_tokens: NDArray[np.int64],
    output_tokens: NDArray[np.int64],
    *,
    concurrency: int,
    start_s: NDArray[np.float64] | None = None,
    resend_s: float = 0.0,
) -> SimResult:
    """Serve the requests on one engine with `concurrency` of them in flight: as one ends, the next is sent.

    The first ones arrive at `start_s` (ascending, all at 0 where not given), a later one `resend_s` after the end of
    the one that it follows: any delay at all lets a step of the others begin before it is seen.
    """
    if concurrency < 1:
        raise ValueError(f"needs at least one request in flight, got {concurrency}")
    arrival_s = np.zeros(input_tokens.size, dtype=np.float64)
    if start_s is not None:
        arrival_s[: start_s.size] = start_s
    routing = Routing.ROUND_ROBIN
    return _run(
        step_time,
        limits,
        arrival_s,
        input_tokens,
        output_tokens,
        1,
        routing,
        0.0,
        in_flight=concurrency,
        resend_s=resend_s,
    )


def _run(
    step_time: StepTime,
    limits: EngineLimits,
    arrival_s: NDArray[np.float64],
    input_tokens: NDArray[np.int64],
    output_tokens: NDArray[np.int64],
    replicas: int,
    routing: Routing,
    cached_frac: float,
    *,
    in_flight: int,
    resend_s: float = 0.0,
    prefixes: PrefixBlocks = _NO_BLOCKS,
    patience_s: NDArray[np.float64] | None = None,
) -> SimResult:
    prompt = np.maximum(input_tokens, 1).astype(np.int64)
    output = np.maximum(output_tokens, 1).astype(np.int64)
    is_paged = limits.scheduler is Scheduler.PAGED
    longest = min(limits.context_tokens, limits.kv_capacity_tokens) if is_paged else limits.context_tokens
    fits = prompt + output <= longest
    patience = np.full(prompt.size, np.inf) if patience_s is None else np.asarray(patience_s, dtype=np.float64)
    cached = np.minimum((prompt * cached_frac).astype(np.int64), prompt - 1)
    asked = np.flatnonzero(fits & (patience >= 0))
    scheduled_s, first_s, last_s = (np.full(prompt.size, np.nan) for _ in range(3))
    busy_s, steps, preemptions = run_fleet(
        asked,
        replicas,
        _PLACES[routing],
        PREFIX_SLACK,
        prefixes.start,
        prefixes.blocks,
        prefixes.count,
        prefixes.block_tokens,
        limits.kv_capacity_tokens // prefixes.block_tokens,
        in_flight,
        resend_s,
        arrival_s,
        arrival_s + patience,
        prompt,
        cached,
        output,
        np.array(
            [
                step_time.base_s,
                step_time.per_prefill_token_s,
                step_time.per_resident_token_s,
                step_time.per_attention_pair_s,
                step_time.per_squared_context_s,
                step_time.mixed_step_s,
            ]
        ),
        np.array([decode_s(step_time, d) for d in range(limits.max_sequences + 1)]),
        limits.max_sequences,
        limits.step_token_budget,
        limits.kv_capacity_tokens if is_paged else -1,
        scheduled_s,
        first_s,
        last_s,
    )
    tpot_s = np.where(output > 1, (last_s - first_s) / np.maximum(output - 1, 1), np.nan)
    return SimResult(
        arrival_s=arrival_s,
        ttft_s=first_s - arrival_s + step_time.request_overhead_s,
        tpot_s=tpot_s,
        e2e_s=last_s - arrival_s + step_time.request_overhead_s,
        queue_s=scheduled_s - arrival_s,
        busy_s=busy_s,
        cached_tokens=cached,
        left=fits & np.isnan(last_s),
        end_s=float(np.nanmax(last_s, initial=0.0)),
        steps=int(steps),
        preemptions=int(preemptions),
        too_long=int(prompt.size - fits.sum()),
    )
