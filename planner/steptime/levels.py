"""TTFT, TPOT and E2E of a load level that was not measured, from levels that were: with an interval.

Two layers. A mean with physical form: TPOT from the fitted step time, TTFT from non-negative terms for the prompt, the
step under way, the prompts of others and the start of a run. Over it, kriging of what is left: the logarithm of
measured over mean is taken as a smooth random field in ln(concurrency), ln(prompt), ln(output), with heavy-tailed noise
so that one odd measurement does not bend its neighbours. Where the highest level of a shape waits far longer than its
neighbours say, the engine had no room for so many sequences: by Little's law the wait's share of a request's life gives
how many did run, and the surplus waits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from planner.profile import EngineLimits, Scheduler, StepTime
from planner.steptime.fit import LoadPoint, fit_step_time, predict_level

Floats = NDArray[np.float64]

UNBOUNDED = EngineLimits(
    scheduler=Scheduler.PAGED,
    max_sequences=1 << 16,
    step_token_budget=8192,
    context_tokens=1 << 30,
    kv_capacity_tokens=1 << 40,
)
"""An engine whose limits nobody wrote down; large servers are usually started with 8192 prompt tokens a step."""

TAIL = 4.0
"""Degrees of freedom of the Student-t noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A random field of relative deviations: variance and noise as fractions squared, scales in e-folds.

    `quantile` turns a standard deviation into half a 90 % interval, `prior_points` is how many points the usual
    deviation counts for against this deployment's own.
    """

    variance: float
    noise: float
    concurrency_scale: float
    shape_scale: float
    quantile: float
    prior_points: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What the level model knows before it sees a deployment.

    A top level is saturated when its TTFT exceeds `queue_rise` times what its neighbour below suggests, growing with
    the power `queue_exponent` of concurrency, and when the surplus is at least `queue_share` of the request's life.
    """

    tpot: Field
    ttft: Field
    queue_rise: float
    queue_exponent: float
    queue_share: float


TUNING = Tuning(
    tpot=Field(variance=0.005, noise=0.0007, concurrency_scale=1.4, shape_scale=2.0, quantile=2.05, prior_points=2.0),
    ttft=Field(variance=0.06, noise=0.006, concurrency_scale=1.8, shape_scale=2.0, quantile=2.4, prior_points=5.0),
    queue_rise=1.3,
    queue_exponent=0.7,
    queue_share=0.03,
)
"""Chosen on the level means of 87 deployments (vLLM, SGLang, TensorRT-LLM); benchmarks/accuracy/folds.py chooses it
anew on four fifths of them and scores the last fifth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """A predicted mean in seconds with its 90 % interval."""

    low_s: float
    mid_s: float
    high_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelForecast:
    ttft_s: Forecast
    tpot_s: Forecast
    e2e_s: Forecast


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LevelModel:
    """What `fit_levels` learned from one deployment."""

    step_time: StepTime
    limits: EngineLimits
    ttft_terms: Floats
    running: dict[tuple[float, float], float]
    tpot_residuals: "_Residuals"
    ttft_residuals: "_Residuals"

    def forecast(self, *, concurrency: float, input_tokens: float, output_tokens: float) -> LevelForecast:
        """Mean TTFT, TPOT and E2E of a closed-loop level with that many requests in flight."""
        i, o = input_tokens, output_tokens
        at = _place(concurrency, i, o)
        mean_tpot_s = self._mean_tpot_s(concurrency, i, o)
        tpot_s, tpot_spread = self.tpot_residuals.correct(at, mean_tpot_s)
        mean_ttft_s = float(_ttft_row(concurrency, i, o, mean_tpot_s) @ self.ttft_terms)
        ttft_s, ttft_spread = self.ttft_residuals.correct(at, mean_ttft_s)
        decode_s = max(o - 1, 0.0) * tpot_s
        surplus = max(concurrency / self.running.get((i, o), math.inf) - 1, 0.0)
        ttft_s += surplus * (ttft_s + decode_s)
        e2e_s = ttft_s + decode_s
        spread = math.hypot(ttft_spread * ttft_s, tpot_spread * decode_s) / e2e_s
        return LevelForecast(
            ttft_s=_forecast(ttft_s, ttft_spread), tpot_s=_forecast(tpot_s, tpot_spread), e2e_s=_forecast(e2e_s, spread)
        )

    def _mean_tpot_s(self, concurrency: float, input_tokens: float, output_tokens: float) -> float:
        level = predict_level(
            self.step_time,
            self.limits,
            concurrency=concurrency,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
        )
        return level.tpot_s


def fit_levels(points: Sequence[LoadPoint], *, limits: EngineLimits = UNBOUNDED, tuning: Tuning = TUNING) -> LevelModel:
    """Learn from the level means of one deployment, each with a TPOT.

    Raises `InputError` where `fit_step_time` does.
    """
    step_time = fit_step_time(points, limits=limits, seed=0, posterior_size=0).step_time
    running = running_limits(points, tuning)
    model = LevelModel(
        step_time=step_time,
        limits=limits,
        ttft_terms=np.zeros(7),
        running=running,
        tpot_residuals=_NO_RESIDUALS,
        ttft_residuals=_NO_RESIDUALS,
    )
    tpots = [model._mean_tpot_s(p.concurrency, p.input_tokens, p.output_tokens) for p in points]
    free = [k for k, p in enumerate(points) if p.concurrency <= 1.001 * running[p.input_tokens, p.output_tokens]]
    rows = np.array(
        [_ttft_row(points[k].concurrency, points[k].input_tokens, points[k].output_tokens, tpots[k]) for k in free]
    )
    measured_ttft = np.array([points[k].ttft_s for k in free])
    terms = _least_absolute(rows, measured_ttft)
    places = np.array([_place(p.concurrency, p.input_tokens, p.output_tokens) for p in points])
    measured_tpot = np.array([p.tpot_s for p in points], dtype=np.float64)
    return LevelModel(
        step_time=step_time,
        limits=limits,
        ttft_terms=terms,
        running=running,
        tpot_residuals=_krige(places, np.log(measured_tpot / np.array(tpots)), tuning.tpot),
        ttft_residuals=_krige(places[free], np.log(measured_ttft / (rows @ terms)), tuning.ttft),
    )


def _ttft_row(concurrency: float, i: float, o: float, tpot_s: float) -> Floats:
    """Own prompt (constant, linear, quadratic), the step under way, others' prompts, the start of a run."""
    return np.array([1.0, i, i * i, tpot_s, concurrency * i, o / concurrency, 1 / concurrency])


def _place(concurrency: float, i: float, o: float) -> Floats:
    place: Floats = np.log(np.array([concurrency, i, o]))
    return place


def _forecast(mid_s: float, spread: float) -> Forecast:
    return Forecast(low_s=mid_s * math.exp(-spread), mid_s=mid_s, high_s=mid_s * math.exp(spread))


def _least_absolute(rows: Floats, measured: Floats) -> Floats:
    """Non-negative terms that minimise absolute relative errors, by 15 rounds of reweighted least squares."""
    relative = rows / measured[:, None]
    weights = np.ones(measured.size)
    terms = np.zeros(rows.shape[1])
    for _ in range(15):
        scaled = relative * weights[:, None]
        norms = np.linalg.norm(scaled, axis=0)
        terms = np.asarray(nnls(scaled / norms, weights)[0] / norms, dtype=np.float64)
        weights = 1 / np.sqrt(np.maximum(np.abs(relative @ terms - 1), 0.01))
    return terms


def running_limits(points: Sequence[LoadPoint], tuning: Tuning = TUNING) -> dict[tuple[float, float], float]:
    """Per shape how many sequences ran at most, not fewer than at the level below; infinite without a queue at the top.

    1024 in flight with a surplus of 10 s in a life of 40 s: 768 ran.
    """
    shapes: dict[tuple[float, float], list[LoadPoint]] = {}
    for p in points:
        shapes.setdefault((p.input_tokens, p.output_tokens), []).append(p)
    limits = {}
    for shape, levels in shapes.items():
        limits[shape] = math.inf
        levels.sort(key=lambda p: p.concurrency)
        if len(levels) < 2:
            continue
        below, top = levels[-2:]
        expected_s = below.ttft_s * (top.concurrency / below.concurrency) ** tuning.queue_exponent
        surplus_s = top.ttft_s - expected_s
        life_s = top.ttft_s + (shape[1] - 1) * (top.tpot_s or 0.0)
        if top.ttft_s > tuning.queue_rise * expected_s and surplus_s > tuning.queue_share * life_s:
            limits[shape] = max(top.concurrency * (1 - surplus_s / life_s), below.concurrency)
    return limits


@dataclass(frozen=True, slots=True, eq=False)
class _Residuals:
    """A conditioned field: places of the measurements, weights of the mean, inverse covariance, own spread."""

    places: Floats
    weights: Floats
    precision: Floats
    spread: float
    field: Field

    def correct(self, at: Floats, mean_s: float) -> tuple[float, float]:
        """The corrected mean and half the 90 % interval of its logarithm."""
        near = _covariance(self.places, at[None, :], self.field)[:, 0]
        variance = self.field.variance - float(near @ self.precision @ near) + self.field.noise
        half = self.field.quantile * self.spread * math.sqrt(variance)
        return mean_s * math.exp(float(near @ self.weights)), half


_NO_RESIDUALS = _Residuals(np.zeros((0, 3)), np.zeros(0), np.zeros((0, 0)), 1.0, TUNING.tpot)


def _covariance(a: Floats, b: Floats, field: Field) -> Floats:
    squared = (a[:, None, :] - b[None, :, :]) ** 2
    distance = squared[..., 0] / field.concurrency_scale**2
    distance = distance + (squared[..., 1] + squared[..., 2]) / field.shape_scale**2
    covariance: Floats = field.variance * np.exp(-0.5 * distance)
    return covariance


def _krige(places: Floats, residuals: Floats, field: Field) -> _Residuals:
    """Condition the field on the residuals; Student-t noise by eight rounds of reweighting.

    The spread is the robust size of leave-one-out errors against what the field expects (0.455 is the median of a
    chi-squared variable with one degree of freedom), pulled towards 1.
    """
    covariance = _covariance(places, places, field)
    trust = np.ones(residuals.size)
    precision = _inverse(covariance + np.diag(field.noise / trust))
    for _ in range(8):
        precision = _inverse(covariance + np.diag(field.noise / trust))
        misfit = residuals - covariance @ (precision @ residuals)
        trust = (TAIL + 1) / (TAIL + misfit**2 / field.noise)
    weights = precision @ residuals
    left_out = weights / np.diag(precision)
    own = float(np.median(left_out**2 * np.diag(precision))) / 0.455
    n = residuals.size
    spread = math.sqrt((own * n + field.prior_points) / (n + field.prior_points))
    return _Residuals(places, weights, precision, spread, field)


def _inverse(matrix: Floats) -> Floats:
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)
