"""Which levels to run, and what fits into the time there is: arithmetic only."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from measure.arrivals import Arrivals
from measure.records import LevelSpec
from measure.run_info import Plan, PlannedLevel, PlannedRate, Shape
from planner.profile import LevelSummary

QUICK_PLAN = "quick"
WARM_UP_SHAPE = "warm-up"
LADDER_SHAPE = "ladder"
MIN_LADDER_TOKENS = 32
_LADDER_REPEATS_S = 1.5
_MAX_LADDER_REPEATS = 3
_MIN_REQUESTS = 8
_REQUESTS_PER_STREAM = 4
_MIN_WINDOW_S = 3.0
_MIN_REQUEST_TIMES = 2.0
_TIGHT_REQUEST_TIMES = 3.0
_BATCHING_EXPONENT = 0.8
_UNKNOWN_REQUEST_S = 1.0

_PROMPT_HEAVY = Shape(name="prompt-heavy", input_tokens=256, output_tokens=8)
_BALANCED = Shape(name="balanced", input_tokens=64, output_tokens=64)
_OUTPUT_HEAVY = Shape(name="output-heavy", input_tokens=16, output_tokens=128)
_GRID_SHAPES = (
    Shape(name="prompt-heavy", input_tokens=1024, output_tokens=128),
    Shape(name="balanced", input_tokens=256, output_tokens=256),
    Shape(name="output-heavy", input_tokens=128, output_tokens=1024),
)


def quick_plan(*, budget_s: float, longest_input_tokens: int | None) -> Plan:
    """A sweep within `budget_s` on whatever machine: low concurrencies first, if time runs out the rest is left out."""
    return Plan(
        name=QUICK_PLAN,
        budget_s=budget_s,
        level_s=12.0,
        idle_s=1.0,
        keeps_contended=True,
        ladder_input_tokens=(128, 512, 2048),
        longest_input_tokens=longest_input_tokens,
        ladder_output_tokens=16,
        levels=(
            *_levels(1, _BALANCED, _OUTPUT_HEAVY),  # the ladder is the prompt-heavy load of one stream
            *_levels(2, _PROMPT_HEAVY, _BALANCED, _OUTPUT_HEAVY),
            *_levels(4, _PROMPT_HEAVY, _BALANCED, _OUTPUT_HEAVY),
            *_levels(8, _BALANCED, _OUTPUT_HEAVY, _PROMPT_HEAVY),
        ),
    )


def grid_plan(
    *,
    concurrency: Sequence[int],
    input_tokens: int | None,
    output_tokens: int | None,
    level_s: float,
    rates_per_s: Sequence[float] = (),
    arrivals: Arrivals = Arrivals.POISSON,
    burstiness: float = 1.0,
    prefix_share: float = 0.0,
    keeps_contended: bool = False,
) -> Plan:
    """Every concurrency at one given shape, or at the three shapes that the capacity model needs.

    Rates are held with the balanced shape, or the given one.
    """
    if input_tokens is None and output_tokens is None:
        shapes: tuple[Shape, ...] = _GRID_SHAPES
    else:
        shapes = (Shape(name="given", input_tokens=input_tokens or 256, output_tokens=output_tokens or 128),)
    longest = max(shape.input_tokens for shape in shapes)
    return Plan(
        name="grid",
        budget_s=None,
        keeps_contended=keeps_contended,
        level_s=level_s,
        idle_s=3.0,
        ladder_input_tokens=tuple(n for n in (64, 256, 1024, 4096) if n < longest),
        longest_input_tokens=longest,
        ladder_output_tokens=16,
        levels=tuple(level for n in sorted(set(concurrency)) for level in _levels(n, *shapes)),
        rates=tuple(
            PlannedRate(
                shape=shapes[len(shapes) // 2],
                rate_per_s=rate,
                arrivals=arrivals,
                burstiness=burstiness,
                prefix_share=prefix_share,
            )
            for rate in rates_per_s
        ),
    )


def _levels(concurrency: int, *shapes: Shape) -> tuple[PlannedLevel, ...]:
    return tuple(PlannedLevel(shape=shape, concurrency=concurrency) for shape in shapes)


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderPoint:
    """Mean time of a lone request."""

    input_tokens: float
    request_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedLevel:
    """A level that was run, with what came of it."""

    spec: LevelSpec
    summary: LevelSummary


def ladder_points(finished: Mapping[str, FinishedLevel]) -> list[LadderPoint]:
    """What the ladder measured, shortest prompt first."""
    points = [
        LadderPoint(input_tokens=x.summary.input_tokens.mean, request_s=x.summary.e2e_s.mean)
        for x in finished.values()
        if x.spec.shape == LADDER_SHAPE and x.summary.input_tokens is not None and x.summary.e2e_s is not None
    ]
    return sorted(points, key=lambda point: point.input_tokens)


def expected_request_s(point: PlannedLevel, finished: Mapping[str, FinishedLevel], ladder_output_tokens: int) -> float:
    """The lower of what the same shape took at a lower concurrency and what the ladder says; 1 s without both."""
    guesses = [
        crowd_request_s(x.summary.e2e_s.mean, measured_at=round(x.spec.target), concurrency=point.concurrency)
        for x in finished.values()
        if x.spec.mode == "closed"
        and x.spec.shape == point.shape.name
        and x.spec.target < point.concurrency
        and x.summary.e2e_s is not None
    ]
    alone_s = predict_request_s(ladder_points(finished), point.shape.input_tokens)
    climbed = [x.summary for x in finished.values() if x.spec.shape == LADDER_SHAPE]
    tpots_s = [summary.tpot_s.mean for summary in climbed if summary.tpot_s is not None]
    if alone_s is not None and tpots_s:
        alone_s += max(0, point.shape.output_tokens - ladder_output_tokens) * min(tpots_s)
        guesses.append(crowd_request_s(alone_s, measured_at=1, concurrency=point.concurrency))
    return min(guesses, default=_UNKNOWN_REQUEST_S)


def predict_request_s(points: Sequence[LadderPoint], input_tokens: float) -> float | None:
    """Time of a lone request from shorter ones: `base + linear * n + quadratic * n^2`, all >= 0, relative errors.

    Two points leave out the base. 0.3 s at 100 and 1.2 s at 300 tokens (0.0025 n + 0.000005 n^2) give 7.5 s at 1,000.
    `None` with fewer than two points.
    """
    if len(points) < 2:
        return None
    n = np.array([p.input_tokens for p in points])
    seconds = np.array([p.request_s for p in points])
    columns = [n, n**2] if len(points) == 2 else [np.ones_like(n), n, n**2]
    coefficients, _ = nnls(np.column_stack(columns) / seconds[:, None], np.ones(len(points)))
    x = float(input_tokens)
    powers = (x, x**2) if len(points) == 2 else (1.0, x, x**2)
    return float(np.dot(coefficients, powers))


def longest_that_fits(points: Sequence[LadderPoint], wanted_tokens: int, available_s: float) -> int:
    """The longest prompt up to `wanted_tokens` whose predicted time is at most `available_s`; 0 if none is."""
    low, high = 0, wanted_tokens
    while low < high:
        middle = (low + high + 1) // 2
        predicted = predict_request_s(points, middle)
        if predicted is not None and predicted <= available_s:
            low = middle
        else:
            high = middle - 1
    return low


def ladder_spec(input_tokens: int, plan: Plan, *, predicted_s: float | None, max_s: float) -> LevelSpec:
    """Lone requests, one after the other: one, or up to three where they are short."""
    repeats = 2 if predicted_s is None else int(min(_MAX_LADDER_REPEATS, max(1.0, _LADDER_REPEATS_S / predicted_s)))
    return LevelSpec(
        level=f"ladder-{input_tokens}",
        shape=LADDER_SHAPE,
        mode="closed",
        target=1,
        input_tokens=input_tokens,
        output_tokens=plan.ladder_output_tokens,
        max_s=max_s,
        min_window_s=0.0,
        wanted_requests=repeats,
        warm_up=False,
    )


def warm_up_spec(session: int, max_s: float) -> LevelSpec:
    """Load until the engine's speed has settled; kept in the records, never fitted."""
    return LevelSpec(
        level=f"warm-up-{session}",
        shape=WARM_UP_SHAPE,
        mode="closed",
        target=1,
        input_tokens=64,
        output_tokens=32,
        max_s=max_s,
        min_window_s=0.0,
        wanted_requests=1,
    )


def crowd_request_s(request_s: float, *, measured_at: int, concurrency: int) -> float:
    """Rough time of a request among more: it grows with the 0.8th power of the concurrency. 1 s alone: 5.3 s at 8."""
    growth: float = (concurrency / measured_at) ** _BATCHING_EXPONENT
    return request_s * growth


def grid_spec(point: PlannedLevel, plan: Plan, *, expected_request_s: float, share_s: float | None) -> LevelSpec | None:
    """The level within its share of the remaining time; `None` if fewer than two request times fit."""
    wanted_s = 2 * expected_request_s + max(_MIN_WINDOW_S, 3 * expected_request_s) + 1.0
    max_s = plan.level_s if share_s is None else min(share_s, wanted_s)
    if max_s < _MIN_REQUEST_TIMES * expected_request_s:
        return None
    return LevelSpec(
        level=point.level,
        shape=point.shape.name,
        mode="closed",
        target=point.concurrency,
        input_tokens=point.shape.input_tokens,
        output_tokens=point.shape.output_tokens,
        max_s=max_s,
        min_window_s=min(_MIN_WINDOW_S, max_s / 2),
        wanted_requests=None if share_s is None else max(_MIN_REQUESTS, _REQUESTS_PER_STREAM * point.concurrency),
    )


def rate_spec(planned: PlannedRate, plan: Plan) -> LevelSpec:
    """The open-loop level over its whole duration."""
    return LevelSpec(
        level=planned.level,
        shape=planned.shape.name,
        mode="open",
        target=planned.rate_per_s,
        input_tokens=planned.shape.input_tokens,
        output_tokens=planned.shape.output_tokens,
        max_s=plan.level_s,
        prefix_share=planned.prefix_share,
    )


def share_of_time_s(points: Sequence[PlannedLevel], remaining_s: float, expected_request_s: float) -> float:
    """Time for the first of the remaining levels: by the square root of the concurrency, but at least what it needs as
    long as that is no more than half of what remains; on a slow machine few levels are better than none."""
    weights = [math.sqrt(point.concurrency) for point in points]
    fair_s = remaining_s * weights[0] / sum(weights)
    return max(fair_s, min(_TIGHT_REQUEST_TIMES * expected_request_s, remaining_s / 2))
