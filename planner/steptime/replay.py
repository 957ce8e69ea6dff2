"""A closed-loop level in the simulator, run as a load generator runs it: from the burst at its start to its end."""

import dataclasses

import numpy as np

from planner.profile import EngineLimits, StepTime
from planner.simulator.simulate import simulate_closed_loop
from planner.steptime.fit import LevelPrediction

REQUESTS_PER_STREAM = 10
"""Requests of a level for each one in flight: the usual choice of published sweeps."""

LEAST_LENGTH_FRAC = 0.8
"""Random lengths lie between this part of the nominal one and all of it, as in those sweeps."""

MOST_REQUESTS = 100_000
"""Of a longer level the beginning is simulated."""

RESEND_S = 1e-4
SEED = 1


def replay_level(
    step_time: StepTime, limits: EngineLimits, *, concurrency: float, input_tokens: float, output_tokens: float
) -> LevelPrediction:
    """Mean TTFT and TPOT of all requests of a level, those of the burst at its start included.

    All streams start at the same moment, so the first round waits for the prompts of all others. At 10 requests a
    stream this is most of the mean TTFT: without it published means are undershot by a third.
    """
    streams = max(round(concurrency), 1)
    count = min(max(REQUESTS_PER_STREAM * streams, 20), MOST_REQUESTS)
    rng = np.random.default_rng(SEED)
    lengths = [
        rng.integers(max(int(nominal * LEAST_LENGTH_FRAC), 1), max(int(nominal), 1) + 1, count)
        for nominal in (input_tokens, output_tokens)
    ]
    room = dataclasses.replace(limits, max_sequences=min(limits.max_sequences, streams))
    run = simulate_closed_loop(step_time, room, lengths[0], lengths[1], concurrency=streams, resend_s=RESEND_S)
    return LevelPrediction(ttft_s=float(np.nanmean(run.ttft_s)), tpot_s=float(np.nanmean(run.tpot_s)))
