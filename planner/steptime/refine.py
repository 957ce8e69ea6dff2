"""Step time refined by simulation in the loop: the measured closed-loop levels are simulated and compared.

The identities of `planner.steptime.fit` know means only. An engine also has a rhythm: a request that is sent when
another ends finds the next step under way, prompts that come together share a step and delay each other, and the
streams that they delay send together again. Simulating each level as it was run shows all of that, so the coefficients
that make the simulated means of TTFT and TPOT meet the measured ones are those that the simulator needs.

The search is Gauss-Newton in the logarithms of the coefficients, from the fitted ones, with robust weights and a weak
pull towards the start. Posterior and errors on points left out come from the linear model at its end: leaving out a
level changes its residual r to (1 - H)^-1 r with H the level's block of the hat matrix.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from planner.profile import EngineLimits, Scheduler, StepTime, StepTimeFit
from planner.simulator.simulate import simulate_closed_loop

Floats = NDArray[np.float64]

PULL = 0.02
"""Relative misfit of one level that a coefficient off by a factor e from its start is worth."""
ROBUST = 0.05
"""Relative misfits above this count linearly, not squared."""
TTFT_SHARE = 0.25
"""Weight of a TTFT beside a TPOT: means over few requests of what queueing makes uneven."""
SMALLEST_FRAC = 0.02
"""A coefficient that the linear fit left at 0 starts at this share of the base time."""
REQUESTS_PER_STREAM, MIN_REQUESTS_PER_STREAM, REQUESTS = 12, 4, 1500
"""Simulated requests of a level: enough that the start does not dominate its means, fewer a stream where they are many,
so that a sweep up to 512 streams is refined in seconds."""
_RESEND_S = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClosedLevel:
    """A closed-loop level as it was run: tokens of its requests in the order sent, and what was measured.

    `start_s` are the sending times of the first `concurrency` requests, ascending, the first at 0. `tpot_s` is `None`
    where no request had two tokens.
    """

    concurrency: int
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    start_s: Floats
    ttft_s: float
    tpot_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedLevel:
    """Mean TTFT and TPOT of a simulated level; TPOT is NaN where no request had two tokens."""

    ttft_s: float
    tpot_s: float


def simulate_level(step_time: StepTime, limits: EngineLimits, level: ClosedLevel) -> SimulatedLevel:
    """The level's means in the simulator without its first requests, one a stream: the measurement's warm-up."""
    n = level.concurrency
    wanted = n * max(MIN_REQUESTS_PER_STREAM, min(REQUESTS_PER_STREAM, REQUESTS // n))
    prompt = np.resize(level.input_tokens, wanted)
    output = np.resize(level.output_tokens, wanted)
    result = simulate_closed_loop(
        step_time,
        limits,
        prompt,
        output,
        concurrency=n,
        start_s=level.start_s[:n],
        resend_s=max(step_time.request_overhead_s, _RESEND_S),
    )
    steady = slice(n, wanted - n // 2) if n > 1 else slice(None)
    tpot_s = result.tpot_s[steady]
    known = tpot_s[np.isfinite(tpot_s)]
    return SimulatedLevel(
        ttft_s=float(np.nanmean(result.ttft_s[steady])), tpot_s=float(known.mean()) if known.size else math.nan
    )


def refine_step_time(
    fit: StepTimeFit, levels: Sequence[ClosedLevel], *, limits: EngineLimits, seed: int
) -> StepTimeFit:
    """The fit with coefficients that the simulator reproduces the levels with; its hull and points stay.

    A level whose requests the limits cannot hold is left out. With fewer than two levels the fit is returned as it is.
    """
    problem = _Problem.of(fit.step_time, levels, limits)
    if len(problem.levels) < 2:
        return fit
    found = least_squares(
        problem.residuals,
        problem.start,
        loss="soft_l1",
        f_scale=ROBUST,
        diff_step=np.full(problem.start.size, 0.01),
        x_scale=1.0,
        max_nfev=30,
    )
    step_time = problem.step_time(found.x)
    posterior, left_out = _linear_errors(
        problem, found.x, np.asarray(found.jac, dtype=np.float64), size=len(fit.posterior), seed=seed
    )
    own = problem.misfits(step_time)
    return dataclasses.replace(
        fit,
        step_time=step_time,
        posterior=posterior,
        fitted_ttft_error_frac=_mean_abs(own[:, 0]),
        fitted_tpot_error_frac=_mean_abs(own[:, 1]),
        held_out_ttft_error_frac=_mean_abs(left_out[:, 0]),
        held_out_tpot_error_frac=_mean_abs(left_out[:, 1]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """The levels beside the simulator, and which coefficients are moved, as logarithms."""

    template: StepTime
    levels: tuple[ClosedLevel, ...]
    limits: EngineLimits
    names: tuple[str, ...]
    knots: tuple[int, ...]
    start: Floats

    @staticmethod
    def of(step_time: StepTime, levels: Sequence[ClosedLevel], limits: EngineLimits) -> "_Problem":
        longest = limits.context_tokens
        if limits.scheduler is Scheduler.PAGED:
            longest = min(longest, limits.kv_capacity_tokens)
        fitting = tuple(level for level in levels if np.all(level.input_tokens + level.output_tokens <= longest))
        floor_s = SMALLEST_FRAC * max(step_time.base_s, 1e-6)
        names = [name for name in _SCALED if getattr(step_time, name) > 0]
        start = [math.log(getattr(step_time, name)) for name in names]
        if "request_overhead_s" not in names:
            names.append("request_overhead_s")
            start.append(math.log(floor_s))
        if limits.scheduler is Scheduler.SLOTS and any(level.concurrency > 1 for level in fitting):
            names.append("mixed_step_s")
            start.append(math.log(max(step_time.mixed_step_s, step_time.base_s / 2, 1e-6)))
        knots = tuple(k for k, _ in step_time.decode_curve[1:])
        start += [math.log(max(height, floor_s)) for _, height in step_time.decode_curve[1:]]
        return _Problem(step_time, fitting, limits, tuple(names), knots, np.array(start))

    def step_time(self, point: Floats) -> StepTime:
        values = np.exp(point)
        scaled: dict[str, Any] = {name: float(value) for name, value in zip(self.names, values, strict=False)}
        if self.knots:
            first = self.template.decode_curve[0][0]
            heights = zip(self.knots, values[len(self.names) :], strict=True)
            curve = ((first, 0.0), *((k, float(height)) for k, height in heights))
            return dataclasses.replace(self.template, decode_curve=curve, **scaled)
        return dataclasses.replace(self.template, **scaled)

    def misfits(self, step_time: StepTime) -> Floats:
        """ln(simulated / measured) of TTFT and TPOT, a row a level; NaN where there is no TPOT."""
        rows = []
        for level in self.levels:
            simulated = simulate_level(step_time, self.limits, level)
            tpot = math.log(simulated.tpot_s / level.tpot_s) if level.tpot_s and simulated.tpot_s > 0 else math.nan
            rows.append((math.log(simulated.ttft_s / level.ttft_s), tpot))
        return np.array(rows)

    def residuals(self, point: Floats) -> Floats:
        misfits = np.nan_to_num(self.misfits(self.step_time(point))) * np.array([TTFT_SHARE, 1.0])
        return np.concatenate([misfits.ravel(), PULL * (point - self.start)])


_SCALED = (
    "base_s",
    "per_prefill_token_s",
    "per_sequence_s",
    "per_sqrt_sequence_s",
    "per_resident_token_s",
    "per_attention_pair_s",
    "per_squared_context_s",
    "request_overhead_s",
)


def _linear_errors(
    problem: _Problem, point: Floats, jacobian: Floats, *, size: int, seed: int
) -> tuple[tuple[StepTime, ...], Floats]:
    """Equally likely step times (Bayesian bootstrap over levels), and each level's misfit had it not been fitted."""
    n = len(problem.levels)
    residuals = problem.residuals(point)
    normal = jacobian.T @ jacobian
    inverse = np.linalg.pinv(normal)
    rng = np.random.default_rng(seed)
    posterior = []
    for _ in range(size):
        weights = np.concatenate([np.repeat(rng.exponential(size=n), 2), np.ones(residuals.size - 2 * n)])
        weighted = jacobian * weights[:, None]
        step = np.linalg.pinv(weighted.T @ jacobian) @ (weighted.T @ residuals)
        posterior.append(problem.step_time(point - np.clip(step, -1.0, 1.0)))
    left_out = np.full((n, 2), np.nan)
    for k, level in enumerate(problem.levels):
        rows = jacobian[2 * k : 2 * k + 2]
        block = np.eye(2) - rows @ inverse @ rows.T
        left_out[k] = np.linalg.pinv(block, rcond=1e-3) @ residuals[2 * k : 2 * k + 2] / np.array([TTFT_SHARE, 1.0])
        if level.tpot_s is None:
            left_out[k, 1] = np.nan
    return tuple(posterior), left_out


def _mean_abs(misfits: Floats) -> float | None:
    """Mean absolute relative error of ln(simulated / measured); `None` without any."""
    known = misfits[np.isfinite(misfits)]
    return float(np.mean(np.abs(np.expm1(np.clip(known, -3, 3))))) if known.size else None
