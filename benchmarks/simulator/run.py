"""How fast the simulator is: python benchmarks/simulator/run.py

10,000 conversation-type requests (about 1,000 tokens in, 200 out, 3 a second) on one engine that takes 128 sequences
and 512 tokens a step. Prints requests per second of one core with compiled code in memory, and what a new process needs
with the compiled code on disk and without.
"""

import os
import subprocess
import sys
import tempfile
import time

import numpy as np

from planner.profile import EngineLimits, Scheduler, StepTime
from planner.simulator.simulate import simulate
from planner.workload import Workload

REQUESTS = 10_000
RATE_PER_S = 3.0
REPEATS = 200

STEP_TIME = StepTime(
    base_s=0.006,
    per_prefill_token_s=60e-6,
    per_sequence_s=50e-6,
    per_sqrt_sequence_s=300e-6,
    per_resident_token_s=20e-9,
    per_attention_pair_s=2e-9,
    request_overhead_s=0.004,
)
LIMITS = EngineLimits(
    scheduler=Scheduler.PAGED,
    max_sequences=128,
    step_token_budget=512,
    context_tokens=32_768,
    kv_capacity_tokens=1_000_000,
)


def conversation() -> Workload:
    """Poisson arrivals, gamma-distributed lengths."""
    rng = np.random.default_rng(1)
    return Workload(
        name="conversation",
        arrival_s=np.cumsum(rng.exponential(1 / RATE_PER_S, REQUESTS)),
        input_tokens=rng.gamma(1.0, 1000.0, REQUESTS).astype(np.int64) + 1,
        output_tokens=rng.gamma(2.0, 100.0, REQUESTS).astype(np.int64) + 1,
        span_s=REQUESTS / RATE_PER_S,
        starts_at=None,
        source="synthetic",
    )


def warm_seconds() -> tuple[float, int]:
    """The median time of one simulation, and its engine steps."""
    workload = conversation()
    result = simulate(STEP_TIME, LIMITS, workload, replicas=1)
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        simulate(STEP_TIME, LIMITS, workload, replicas=1)
        times.append(time.perf_counter() - start)
    return float(np.median(times)), result.steps


def process_seconds(cache: str) -> float:
    """A new process that imports, simulates once and ends; compiled code is looked for in `cache`."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, __file__, "--once"], check=True, env={**os.environ, "NUMBA_CACHE_DIR": cache}, timeout=120
    )
    return time.perf_counter() - start


def main() -> None:
    if "--once" in sys.argv:
        simulate(STEP_TIME, LIMITS, conversation(), replicas=1)
        return
    seconds, steps = warm_seconds()
    print(f"warm: {REQUESTS / seconds:,.0f} requests/s, {steps / seconds:,.0f} engine steps/s, {seconds * 1e3:.2f} ms")
    with tempfile.TemporaryDirectory() as cache:
        print(f"new process, nothing compiled: {process_seconds(cache):.2f} s")
        again = [process_seconds(cache) for _ in range(5)]
        print(f"new process, compiled code on disk: {float(np.median(again)):.2f} s (median of 5)")


if __name__ == "__main__":
    main()
