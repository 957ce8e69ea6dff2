"""Step time: what one engine step costs, fitted to a handful of measured load levels.

The form stands in `planner.profile.StepTime`. In a closed loop with N requests in flight, each with I prompt and O
output tokens, a request waits w steps, goes through s = ceil(I / budget) prompt steps and through O - 1 decode steps.
Nobody else's prompt runs while its own does, so q = (N - 1) / (w + O - 1) prompts of others fall on each of its decode
steps, beside D = 1 + (N - 1) * (O - 1) / (w + s + O - 1) decoding sequences, itself included, that hold
D * (I + O / 2) resident tokens. With w = (TTFT - TTFT alone) / TPOT the mean TPOT is linear in the coefficients:

    TPOT = base + decode(D) + resident * D * (I + O / 2) + q * prompt(I)
    prompt(I) = prefill * I + pair * I^2 / 2 + squared_context * I^3 / 3

So is the TTFT of a request that is alone: overhead + s * base + prompt(I). Rows are divided by the measured value, so
the fit minimises relative errors, and all coefficients are >= 0 (non-negative least squares).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from planner.errors import InputError
from planner.profile import EngineLimits, Hull, Scheduler, StepTime, StepTimeFit
from planner.simulator.step_cost import decode_s, lone_ttft_s, prompt_s, prompt_steps

__all__ = [
    "LevelPrediction",
    "LoadPoint",
    "decode_s",
    "fit_step_time",
    "hull_of",
    "lone_ttft_s",
    "predict_level",
    "prompt_s",
]

POSTERIOR_SIZE = 64
"""Alternative coefficient sets kept in a fit: enough for a 90 % interval (three sets beyond either end)."""

WAITED_STEPS = 1.0
"""Steps that a request waits in a loaded closed loop: sent when another ends, it arrives just after a step began."""

LOADED_TTFT_WEIGHT = 0.2
"""Weight of a TTFT row taken under load, where its linear form is only a guess, against 1 for a request alone."""

_BASE, _PREFILL, _PAIR, _CUBE, _RESIDENT, _OVERHEAD, _DECODE = range(7)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPoint:
    """Means of one closed-loop level: `concurrency` requests in flight, TTFT and TPOT in seconds.

    `tpot_s` is `None` where no request had two tokens. `weight` scales the point's say in the fit.
    """

    concurrency: float
    input_tokens: float
    output_tokens: float
    ttft_s: float
    tpot_s: float | None
    weight: float = 1.0


def fit_step_time(
    points: Sequence[LoadPoint], *, limits: EngineLimits, seed: int, posterior_size: int = POSTERIOR_SIZE
) -> StepTimeFit:
    """Fit the step time to closed-loop levels, with a posterior and with errors on points left out.

    Needs levels at two concurrencies or more; one prompt:output shape is enough, but then the hull is that shape alone.
    The posterior is a Bayesian bootstrap: the points are weighted anew with exponential weights and fitted again.
    `held_out_*` leaves out one point at a time. Raises `InputError` for points that cannot be fitted.
    """
    _check(points)
    model = _Form.of(points, limits)
    weights = np.array([p.weight for p in points])
    step_time = model.fit(points, weights)
    rng = np.random.default_rng(seed)
    posterior = tuple(model.fit(points, weights * rng.exponential(size=weights.size)) for _ in range(posterior_size))
    tpot_error, ttft_error = _errors(step_time, limits, points)
    held_out = [_errors(model.fit(rest, _weights(rest)), limits, [point]) for point, rest in _leave_one_out(points)]
    return StepTimeFit(
        step_time=step_time,
        posterior=posterior,
        hull=hull_of(points),
        points=len(points),
        fitted_tpot_error_frac=tpot_error,
        fitted_ttft_error_frac=ttft_error,
        held_out_tpot_error_frac=_mean([tpot for tpot, _ in held_out]),
        held_out_ttft_error_frac=_mean([ttft for _, ttft in held_out]),
    )


def hull_of(points: Sequence[LoadPoint]) -> Hull:
    """The region that the points span."""
    ratios = [p.input_tokens / p.output_tokens for p in points]
    return Hull(
        max_input_tokens=math.ceil(max(p.input_tokens for p in points)),
        max_output_tokens=math.ceil(max(p.output_tokens for p in points)),
        max_concurrency=math.ceil(max(p.concurrency for p in points)),
        min_input_output_ratio=min(ratios),
        max_input_output_ratio=max(ratios),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelPrediction:
    """Mean TTFT and TPOT of a closed-loop level, in seconds."""

    ttft_s: float
    tpot_s: float


def predict_level(
    step_time: StepTime, limits: EngineLimits, *, concurrency: float, input_tokens: float, output_tokens: float
) -> LevelPrediction:
    """Mean TTFT and TPOT of a closed loop by the identities in the module's docstring.

    The TTFT of a loaded engine is that of a lone request plus one step of the others, and what the others decode and
    prefill during its own prompt steps. With more requests in flight than the engine takes, the rest wait in turn:
    (N - max_sequences) / N of a request's life.
    """
    i, o = input_tokens, output_tokens
    running = min(max(concurrency, 1.0), float(limits.max_sequences))
    prompts, d = _others(concurrency, i, o, WAITED_STEPS if running > 1 else 0.0, limits)
    resident_s = step_time.per_resident_token_s * (i + o / 2)
    tpot_s = step_time.base_s + decode_s(step_time, d) + resident_s * d + prompts * prompt_s(step_time, i)
    others_s = decode_s(step_time, d - 1) + resident_s * (d - 1)
    if running > 1:
        others_s += prompts * max(running - 2, 0.0) / (running - 1) * prompt_s(step_time, i)
    ttft_s = lone_ttft_s(step_time, limits, i) + prompt_steps(i, limits) * others_s
    if running > 1:
        ttft_s += WAITED_STEPS * (step_time.base_s + others_s)
    queue_s = (max(concurrency, 1.0) / running - 1) * (ttft_s + max(o - 1, 0.0) * tpot_s)
    return LevelPrediction(ttft_s=ttft_s + queue_s, tpot_s=tpot_s)


@dataclass(frozen=True, slots=True)
class _Form:
    """Which coefficients the points can tell apart, and the decode curve's knots (none: linear and square root)."""

    limits: EngineLimits
    knots: tuple[int, ...]
    active: NDArray[np.bool_]

    @staticmethod
    def of(points: Sequence[LoadPoint], limits: EngineLimits) -> "_Form":
        knots: tuple[int, ...] = ()
        if limits.scheduler is Scheduler.SLOTS:
            batches = [_others(p.concurrency, p.input_tokens, p.output_tokens, 0.0, limits)[1] for p in points]
            top = max(math.ceil(max(batches) - 1e-9), 1)
            measured = {min(round(p.concurrency), top) for p in points}
            knots = tuple(sorted({k for k in measured if k >= 1} | {top}))
        active = np.ones(_DECODE + (len(knots) - 1 if knots else 2), dtype=np.bool_)
        inputs = {round(p.input_tokens, -1) for p in points}
        contexts = {round(p.input_tokens + p.output_tokens / 2, -1) for p in points}
        active[_PAIR] = len(inputs) >= 3
        active[_CUBE] = len(inputs) >= 5
        active[_OVERHEAD] = len(inputs) >= 2
        active[_RESIDENT] = len(contexts) >= 2
        return _Form(limits, knots, active)

    def fit(self, points: Sequence[LoadPoint], weights: NDArray[np.float64]) -> StepTime:
        """Fit, then twice more with the waits that the fit before says the measured TTFTs contain."""
        step_time = self._fit(points, weights, [0.0 if p.concurrency <= 1 else WAITED_STEPS for p in points])
        for _ in range(2):
            step_time = self._fit(points, weights, [_waited_steps(p, step_time, self.limits) for p in points])
        return step_time

    def _fit(
        self, points: Sequence[LoadPoint], weights: NDArray[np.float64], waited_steps: Sequence[float]
    ) -> StepTime:
        rows, scales = [], []
        alone = _lowest_concurrency(points)
        for point, weight, waited in zip(points, weights, waited_steps, strict=True):
            root = math.sqrt(max(weight, 0.0))
            if point.tpot_s is not None:
                rows.append(self._tpot_row(point, waited) / point.tpot_s)
                scales.append(root)
            if point.concurrency <= 1 or point in alone:
                rows.append(self._ttft_row(point) / point.ttft_s)
                scales.append(root * (1.0 if point.concurrency <= 1 else LOADED_TTFT_WEIGHT))
        scale = np.array(scales)
        matrix = np.array(rows)[:, self.active] * scale[:, None]
        norms = np.linalg.norm(matrix, axis=0)
        norms[norms == 0] = 1.0
        solution, _ = nnls(matrix / norms, scale)
        values = np.zeros(self.active.size)
        values[self.active] = solution / norms
        return self._step_time(values)

    def _decode_features(self, sequences: float) -> NDArray[np.float64]:
        if not self.knots:
            return np.array([sequences, math.sqrt(sequences)])
        heights = np.eye(len(self.knots))[:, 1:]
        return np.array([np.interp(sequences, self.knots, height) for height in heights.T])

    def _tpot_row(self, point: LoadPoint, waited_steps: float) -> NDArray[np.float64]:
        i, o = point.input_tokens, point.output_tokens
        prompts, d = _others(point.concurrency, i, o, waited_steps, self.limits)
        head = [1.0, prompts * i, prompts * i**2 / 2, prompts * i**3 / 3, d * (i + o / 2), 0.0]
        return np.concatenate([head, self._decode_features(d)])

    def _ttft_row(self, point: LoadPoint) -> NDArray[np.float64]:
        i, o = point.input_tokens, point.output_tokens
        steps = prompt_steps(i, self.limits)
        wait = WAITED_STEPS if point.concurrency > 1 else 0.0
        others = _others(point.concurrency, i, o, wait, self.limits)[1] - 1
        decode = self._decode_features(others) if others > 0 else np.zeros(self.active.size - _DECODE)
        head = [steps + wait, i, i**2 / 2, i**3 / 3, (steps + wait) * others * (i + o / 2), 1.0]
        return np.concatenate([head, (steps + wait) * decode])

    def _step_time(self, values: NDArray[np.float64]) -> StepTime:
        decode = values[_DECODE:]
        curve = tuple((k, float(h)) for k, h in zip(self.knots, (0.0, *decode), strict=True)) if self.knots else ()
        return StepTime(
            base_s=float(values[_BASE]),
            per_prefill_token_s=float(values[_PREFILL]),
            per_sequence_s=0.0 if self.knots else float(decode[0]),
            per_sqrt_sequence_s=0.0 if self.knots else float(decode[1]),
            per_resident_token_s=float(values[_RESIDENT]),
            per_attention_pair_s=float(values[_PAIR]),
            request_overhead_s=float(values[_OVERHEAD]),
            decode_curve=curve,
            per_squared_context_s=float(values[_CUBE]),
        )


def _check(points: Sequence[LoadPoint]) -> None:
    for number, p in enumerate(points, start=1):
        numbers = (p.concurrency, p.input_tokens, p.output_tokens, p.ttft_s, p.weight)
        if not all(math.isfinite(x) and x > 0 for x in numbers) or (p.tpot_s is not None and not p.tpot_s > 0):
            raise InputError(f"load point {number} of {len(points)} has a value that is not above 0: {p}; drop it")
    concurrencies = {round(p.concurrency, 1) for p in points if p.tpot_s is not None}
    if len(concurrencies) < 2:
        raise InputError(
            f"a step time needs measured levels at two concurrencies or more, got {len(concurrencies)} "
            "with output of two tokens or more; measure again with `--concurrency 1,4`"
        )


def _others(
    concurrency: float, input_tokens: float, output_tokens: float, waited_steps: float, limits: EngineLimits
) -> tuple[float, float]:
    """Others' prompts in a decode step, and the sequences decoding in it; as many run as the engine takes at most.

    4 in flight, 10 output tokens, one prompt step, no wait: 3 / 9 = 0.33 prompts and 1 + 3 * 9 / 10 = 3.7 sequences.
    """
    others = min(max(concurrency, 1.0), float(limits.max_sequences)) - 1
    decodes = max(output_tokens - 1, 0.0)
    if decodes == 0:
        return others, 1.0
    steps = prompt_steps(input_tokens, limits)
    return others / (waited_steps + decodes), 1 + others * decodes / (waited_steps + steps + decodes)


def _waited_steps(point: LoadPoint, step_time: StepTime, limits: EngineLimits) -> float:
    """How many steps a request waits in the engine: its TTFT less the queue before the engine and the lone TTFT.

    An engine with slots takes every prompt into its next step, so there the wait is always the same.
    """
    if point.tpot_s is None or point.concurrency <= 1:
        return 0.0
    if limits.scheduler is Scheduler.SLOTS:
        return WAITED_STEPS
    life_s = point.ttft_s + max(point.output_tokens - 1, 0.0) * point.tpot_s
    queue_s = max(1 - limits.max_sequences / point.concurrency, 0.0) * life_s
    return max(point.ttft_s - queue_s - lone_ttft_s(step_time, limits, point.input_tokens), 0.0) / point.tpot_s


def _lowest_concurrency(points: Sequence[LoadPoint]) -> list[LoadPoint]:
    """Per shape (lengths within about 10 %) the point with the fewest requests in flight."""
    lowest: dict[tuple[int, int], LoadPoint] = {}
    for p in points:
        shape = (round(math.log(p.input_tokens) * 10), round(math.log(p.output_tokens) * 10))
        if shape not in lowest or p.concurrency < lowest[shape].concurrency:
            lowest[shape] = p
    return list(lowest.values())


def _leave_one_out(points: Sequence[LoadPoint]) -> list[tuple[LoadPoint, list[LoadPoint]]]:
    """Each point with all others, where those still hold two concurrencies."""
    splits = [(p, [q for q in points if q is not p]) for p in points]
    return [(p, rest) for p, rest in splits if len({round(q.concurrency, 1) for q in rest if q.tpot_s}) >= 2]


def _errors(
    step_time: StepTime, limits: EngineLimits, points: Sequence[LoadPoint]
) -> tuple[float | None, float | None]:
    """Mean absolute relative error of TPOT and TTFT."""
    tpot, ttft = [], []
    for p in points:
        predicted = predict_level(
            step_time, limits, concurrency=p.concurrency, input_tokens=p.input_tokens, output_tokens=p.output_tokens
        )
        ttft.append(abs(predicted.ttft_s / p.ttft_s - 1))
        if p.tpot_s is not None:
            tpot.append(abs(predicted.tpot_s / p.tpot_s - 1))
    return _mean(tpot), _mean(ttft)


def _weights(points: Sequence[LoadPoint]) -> NDArray[np.float64]:
    return np.array([p.weight for p in points])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None
