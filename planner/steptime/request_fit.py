"""Step time from a log of single requests, by simulation in the loop.

Every arrival of the log is simulated, and the first requests' TTFT, TPOT and E2E are compared with what was measured.
The result is not one set of coefficients but many equally likely ones, from an ensemble sampler: simulated latencies
jump where a request slips into another step, so there is no gradient to follow and no single best point.

A short log cannot tell all coefficients apart. Those of D and of the attention pairs stay 0: with them, the same log
cut at 45, 60, 90 or 120 requests predicts the rest worse (benchmarks/accuracy).
"""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from planner.errors import InputError
from planner.profile import EngineLimits, Scheduler, StepTime
from planner.simulator.simulate import SimResult, simulate
from planner.workload import Workload

Floats = NDArray[np.float64]

_START = np.log(np.array([0.012, 5e-5, 3e-4, 1e-7, 5e-3]))
"""Where the search starts: base, prompt token, square root of sequences, resident token, overhead [ln s]; a large model
on one or a few accelerators. The prior is this within a factor of 4.5 (1.5 e-folds) either way."""

PRIOR_SPREAD = 1.5
DECODE_WEIGHT, TTFT_WEIGHT = 20.0, 5.0
"""How many independent requests a log is worth: neighbours in a batch share their steps, so far fewer than it holds."""

STARTS, MEMORY_STARTS = 16, 4
"""Descents from random places: the misfit has many valleys."""

EXPLAINED = 0.01
"""A mean misfit below which a log needs no memory limit to explain it."""

WALKERS, STEPS, BURN_IN, THINNING = 32, 300, 150, 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RequestLog:
    """Requests as a server served them, in order of arrival; `replicas` engines behind round robin."""

    name: str
    arrival_s: Floats
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    ttft_s: Floats
    e2e_s: Floats
    limits: EngineLimits
    replicas: int
    notes: tuple[str, ...]

    @property
    def tpot_s(self) -> Floats:
        """NaN for fewer than two output tokens."""
        tokens = np.where(self.output_tokens > 1, self.output_tokens - 1, np.nan)
        return (self.e2e_s - self.ttft_s) / tokens


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RequestForecast:
    """Median and half 90 % interval (of the logarithm) for every request of the log, fitted ones included."""

    tpot_s: Floats
    ttft_s: Floats
    e2e_s: Floats
    tpot_spread: Floats
    ttft_spread: Floats
    e2e_spread: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RequestFit:
    """Equally likely step times, the limits with the KV memory that fits best, and what they say of the whole log."""

    posterior: tuple[StepTime, ...]
    limits: EngineLimits
    forecast: RequestForecast


def fit_requests(log: RequestLog, *, fit_count: int, seed: int) -> RequestFit:
    """Learn from the first `fit_count` requests of the log.

    Raises `InputError` when the log has too few requests.
    """
    if fit_count < 10 or log.arrival_s.size < fit_count:
        raise InputError(f"{log.name}: a fit needs at least 10 requests and {fit_count} were asked for; log more")
    problem = _with_memory(_Problem(log, log.limits, fit_count))
    chain = _sample(problem, seed)
    runs = [problem.run(point) for point in chain]
    names = ("tpot_s", "ttft_s", "e2e_s")
    middle, spread = {}, {}
    for name in names:
        simulated = np.log(np.array([getattr(run, name) for run in runs]))
        middle[name] = np.median(simulated, axis=0)
        low, high = np.quantile(simulated, [0.05, 0.95], axis=0)
        misfit = np.abs(np.log(getattr(log, name)) - middle[name])[:fit_count]
        spread[name] = np.hypot((high - low) / 2, np.nanquantile(misfit, 0.9))
    forecast = RequestForecast(
        tpot_s=np.exp(middle["tpot_s"]),
        ttft_s=np.exp(middle["ttft_s"]),
        e2e_s=np.exp(middle["e2e_s"]),
        tpot_spread=spread["tpot_s"],
        ttft_spread=spread["ttft_s"],
        e2e_spread=spread["e2e_s"],
    )
    return RequestFit(posterior=tuple(_step_time(x) for x in chain), limits=problem.limits, forecast=forecast)


def _step_time(point: Floats) -> StepTime:
    base, prefill, root, resident, overhead = np.exp(point).tolist()
    return StepTime(
        base_s=base,
        per_prefill_token_s=prefill,
        per_sequence_s=0.0,
        per_sqrt_sequence_s=root,
        per_resident_token_s=resident,
        per_attention_pair_s=0.0,
        request_overhead_s=overhead,
    )


class _Problem:
    """The log beside the simulator."""

    def __init__(self, log: RequestLog, limits: EngineLimits, fit_count: int) -> None:
        self.log, self.limits, self.fit_count = log, limits, fit_count
        self.workload = Workload(
            name=log.name,
            arrival_s=log.arrival_s,
            input_tokens=log.input_tokens,
            output_tokens=log.output_tokens,
            span_s=max(float(log.arrival_s[-1]), 1e-9),
            starts_at=None,
            source=log.name,
        )

    def run(self, point: Floats) -> SimResult:
        return simulate(_step_time(point), self.limits, self.workload, replicas=self.log.replicas)

    def misfits(self, run: SimResult) -> tuple[Floats, Floats, Floats]:
        """ln(simulated / measured) of E2E, TPOT and TTFT of the requests to fit; 0 where there is no TPOT."""
        n = self.fit_count
        e2e = np.log(run.e2e_s[:n] / self.log.e2e_s[:n])
        tpot = np.nan_to_num(np.log(run.tpot_s[:n] / self.log.tpot_s[:n]))
        ttft = np.log(run.ttft_s[:n] / self.log.ttft_s[:n])
        return e2e, tpot, ttft

    def residuals(self, point: Floats) -> Floats:
        e2e, tpot, ttft = self.misfits(self.run(point))
        return np.concatenate([e2e, tpot, 0.1 * ttft, 0.01 * (point - _START) / PRIOR_SPREAD])

    def descend(self, starts: int) -> list[tuple[float, Floats]]:
        """Mean absolute misfit (TTFT counts a tenth) and place of the best points from several starts, best first.

        Kept are those within 1.5 times of the best misfit.
        """
        rng = np.random.default_rng(0)
        found = []
        for k in range(starts):
            start = _START + (rng.normal(0.0, 1.0, _START.size) if k else 0.0)
            end = least_squares(
                self.residuals, start, loss="soft_l1", f_scale=0.02, diff_step=[1e-3] * _START.size, max_nfev=40
            ).x
            found.append((float(np.mean(np.abs(self.residuals(end)))), end))
        found.sort(key=lambda pair: pair[0])
        return [pair for pair in found if pair[0] <= 1.5 * found[0][0]]

    def log_probability(self, point: Floats) -> float:
        if np.any(np.abs(point - _START) > 4 * PRIOR_SPREAD):
            return -math.inf
        e2e, tpot, ttft = (float(np.abs(m).mean()) for m in self.misfits(self.run(point)))
        prior = -0.5 * float(np.sum(((point - _START) / PRIOR_SPREAD) ** 2))
        return prior - DECODE_WEIGHT * math.log(e2e + tpot) - TTFT_WEIGHT * math.log(ttft + 0.02)


def _with_memory(problem: _Problem) -> _Problem:
    """The problem with the KV memory that explains the fitted requests best; none when that explains them as well.

    A memory limit is looked for where the fit without one is poor, and has to cut the misfit by a fifth.
    """
    log, limits = problem.log, problem.limits
    longest = int((log.input_tokens + log.output_tokens).max())
    total = int((log.input_tokens + log.output_tokens).sum())
    if limits.scheduler is not Scheduler.PAGED or limits.kv_capacity_tokens < total:
        return problem
    unbounded = problem.descend(STARTS)[0][0]
    if unbounded < EXPLAINED:
        return problem
    best, best_misfit = problem, 0.8 * unbounded
    for capacity in np.geomspace(longest, total, 24)[:-1]:
        bounded = _Problem(log, dataclasses.replace(limits, kv_capacity_tokens=int(capacity)), problem.fit_count)
        misfit = bounded.descend(MEMORY_STARTS)[0][0]
        if misfit < best_misfit:
            best, best_misfit = bounded, misfit
    return best


def _sample(problem: _Problem, seed: int) -> list[Floats]:
    """Goodman and Weare's stretch moves: walkers step along lines through each other, whatever the scales.

    Source: Communications in Applied Mathematics and Computational Science 5 (2010) 65, with a = 2.
    """
    rng = np.random.default_rng(seed)
    valleys = [place for _, place in problem.descend(STARTS)]
    walkers = [valleys[k % len(valleys)] + rng.normal(0.0, 0.1, _START.size) for k in range(WALKERS)]
    heights = [problem.log_probability(walker) for walker in walkers]
    kept: list[Floats] = []
    for step in range(STEPS):
        for k in range(WALKERS):
            other = walkers[(k + int(rng.integers(1, WALKERS))) % WALKERS]
            stretch = (1 + rng.random()) ** 2 / 2
            proposal = other + stretch * (walkers[k] - other)
            height = problem.log_probability(proposal)
            if math.log(rng.random()) < (_START.size - 1) * math.log(stretch) + height - heights[k]:
                walkers[k], heights[k] = proposal, height
        if step >= BURN_IN and step % THINNING == 0:
            kept.extend(walkers)
    return kept
