"""How far the fitted step time may be off for this mix of requests: the posterior as rates over the best guess."""

import numpy as np

from planner.profile import Profile, StepTime
from planner.simulator.step_cost import decode_s, prompt_s
from planner.workload import Workload

_SAMPLE = 400


def posterior_ratios(profile: Profile, workload: Workload) -> tuple[float, ...]:
    """Requests a busy replica serves under each step time of the posterior, over the best guess; () without one.

    Engine time of a request with N in flight: prompt + tokens * (base + decode(N) + resident * N * (I + O / 2)) / N,
    with N the most that was measured at once. Worked: a posterior that takes 25 % longer for all of it gives 0.8.
    """
    posterior = profile.fit.posterior
    if not posterior:
        return ()
    places = np.linspace(0, workload.requests - 1, min(workload.requests, _SAMPLE)).astype(int)
    pairs = list(zip(workload.input_tokens[places].tolist(), workload.output_tokens[places].tolist(), strict=True))
    flying = max(min(profile.limits.max_sequences, profile.fit.hull.max_concurrency), 1)
    best = _engine_s(profile.fit.step_time, pairs, flying)
    return tuple(best / _engine_s(step_time, pairs, flying) for step_time in posterior)


def _engine_s(step_time: StepTime, pairs: list[tuple[int, int]], flying: int) -> float:
    step = (step_time.base_s + decode_s(step_time, flying)) / flying
    return sum(prompt_s(step_time, i) + o * (step + step_time.per_resident_token_s * (i + o / 2)) for i, o in pairs)
