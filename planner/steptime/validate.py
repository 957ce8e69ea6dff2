"""How wrong the model is on measurements it has not seen: fit on a part, score the rest.

Two protocols. Level means: per deployment with at least 8 points, fit on the lowest and the highest concurrency of each
shape and, where a shape has more than 4, on its middle one; score all others. Single requests: fit on the first 60,
score the rest. Errors are |predicted / measured - 1|.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.errors import InputError
from planner.steptime.fit import LoadPoint, predict_level
from planner.steptime.levels import UNBOUNDED, Forecast, fit_levels
from planner.steptime.measurements import Deployment, LevelTable
from planner.steptime.replay import replay_level
from planner.steptime.request_fit import RequestLog, fit_requests

MIN_POINTS = 8
FIT_REQUESTS = 60
SEED = 1

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorSummary:
    """Absolute relative errors, as fractions."""

    median_frac: float
    mean_frac: float
    p90_frac: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentScore:
    """One deployment's share in the board; medians over its scored points."""

    name: str
    points: int
    tpot_median_frac: float
    ttft_median_frac: float
    e2e_median_frac: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoreboard:
    """`points` were scored, in `deployments`; `coverage_frac` of all TTFT, TPOT and E2E lie in their 90 % interval.

    `step_time_alone` is what the step time predicts without the correction by neighbouring measurements that
    `planner.steptime.levels` adds, by its steady-state identities; `simulated` what the simulator says when it runs
    every level from the burst at its start, as a load generator does. Both `None` for single requests, which are
    simulated anyway.
    """

    protocol: str
    points: int
    deployments: int
    coverage_frac: float
    tpot: ErrorSummary
    e2e: ErrorSummary
    ttft: ErrorSummary
    tpot_coverage_frac: float
    e2e_coverage_frac: float
    ttft_coverage_frac: float
    step_time_alone: dict[str, ErrorSummary] | None
    simulated: dict[str, ErrorSummary] | None
    by_deployment: tuple[DeploymentScore, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Scored:
    """Relative errors and whether the interval held, one element per scored value."""

    tpot: tuple[Floats, NDArray[np.bool_]]
    ttft: tuple[Floats, NDArray[np.bool_]]
    e2e: tuple[Floats, NDArray[np.bool_]]


def fit_and_score_points(points: Sequence[LoadPoint]) -> tuple[list[LoadPoint], list[LoadPoint]]:
    """The points to fit and those to score: lowest, highest and, of more than 4, the middle one of every shape.

    Concurrencies 1, 2, 4, 8, 16, 32 are fitted at 1, 8 and 32.
    """
    shapes: dict[tuple[float, float], list[LoadPoint]] = {}
    for p in sorted(points, key=lambda p: p.concurrency):
        shapes.setdefault((p.input_tokens, p.output_tokens), []).append(p)
    fitted: list[LoadPoint] = []
    scored: list[LoadPoint] = []
    for levels in shapes.values():
        chosen = {0, len(levels) - 1} | ({len(levels) // 2} if len(levels) > 4 else set())
        for k, p in enumerate(levels):
            (fitted if k in chosen else scored).append(p)
    return fitted, scored


def validate_levels(table: LevelTable, *, progress: Callable[[str], None] | None = None) -> Scoreboard:
    """The first protocol. Raises `InputError` when no deployment has enough points to fit and score."""
    eligible = [d for d in table.deployments if len(d.points) >= MIN_POINTS]
    notes = [f"line {row.line} left out: {row.reason}" for row in table.left_out]
    scores: list[_Scored] = []
    alone: dict[str, list[float]] = {"tpot": [], "e2e": [], "ttft": []}
    simulated: dict[str, list[float]] = {"tpot": [], "e2e": [], "ttft": []}
    rows = []
    for deployment in eligible:
        if progress:
            progress(deployment.name)
        fitted, held_out = fit_and_score_points(deployment.points)
        if not held_out:
            notes.append(f"{deployment.name}: every point is needed for the fit, none is left to score")
            continue
        try:
            score = _score_levels(fitted, held_out, alone, simulated)
        except InputError as error:
            notes.append(f"{deployment.name}: {error}")
            continue
        scores.append(score)
        rows.append(_row(deployment, score))
    if not scores:
        raise InputError(
            f"nothing to score: of {len(table.deployments)} deployments none has {MIN_POINTS} points of several "
            "concurrencies a shape; measure more levels"
        )
    board = _board("levels", len(eligible), scores, notes)
    by_identity, by_simulation = (
        {name: _summary(np.array(errors)) for name, errors in found.items()} for found in (alone, simulated)
    )
    return dataclasses.replace(board, step_time_alone=by_identity, simulated=by_simulation, by_deployment=tuple(rows))


def validate_requests(log: RequestLog) -> Scoreboard:
    """The second protocol. Raises `InputError` for a log that leaves nothing to score."""
    n = log.arrival_s.size
    if n <= FIT_REQUESTS:
        raise InputError(f"{log.name} holds {n} requests and the first {FIT_REQUESTS} are fitted; log more to score")
    has_tpot = np.isfinite(log.tpot_s)
    if not (has_tpot[:FIT_REQUESTS].any() and has_tpot[FIT_REQUESTS:].any()):
        raise InputError(
            f"{log.name}: the first {FIT_REQUESTS} requests, or all others, have a single output token: there "
            "is no TPOT to score; log requests with longer answers"
        )
    fit = fit_requests(log, fit_count=FIT_REQUESTS, seed=SEED)
    rest = slice(FIT_REQUESTS, None)
    forecast = fit.forecast

    def scored(predicted: Floats, spread: Floats, measured: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        known = np.isfinite(measured[rest])
        ratio = (predicted[rest] / measured[rest])[known]
        return np.abs(ratio - 1), np.abs(np.log(ratio)) <= spread[rest][known]

    score = _Scored(
        tpot=scored(forecast.tpot_s, forecast.tpot_spread, log.tpot_s),
        ttft=scored(forecast.ttft_s, forecast.ttft_spread, log.ttft_s),
        e2e=scored(forecast.e2e_s, forecast.e2e_spread, log.e2e_s),
    )
    notes = list(log.notes)
    if fit.limits.kv_capacity_tokens < log.limits.kv_capacity_tokens:
        notes.append(f"the fitted requests are explained best by a KV memory of {fit.limits.kv_capacity_tokens} tokens")
    return _board("requests", 1, [score], notes)


def _score_levels(
    fitted: Sequence[LoadPoint],
    held_out: Sequence[LoadPoint],
    alone: dict[str, list[float]],
    simulated: dict[str, list[float]],
) -> _Scored:
    model = fit_levels(fitted)
    errors: dict[str, list[float]] = {"tpot": [], "ttft": [], "e2e": []}
    inside: dict[str, list[bool]] = {"tpot": [], "ttft": [], "e2e": []}
    for p in held_out:
        measured = _measured(p)
        forecast = model.forecast(concurrency=p.concurrency, input_tokens=p.input_tokens, output_tokens=p.output_tokens)
        for name, predicted in (("tpot", forecast.tpot_s), ("ttft", forecast.ttft_s), ("e2e", forecast.e2e_s)):
            errors[name].append(abs(predicted.mid_s / measured[name] - 1))
            inside[name].append(_holds(predicted, measured[name]))
        for predict, found in ((predict_level, alone), (replay_level, simulated)):
            level = predict(
                model.step_time,
                UNBOUNDED,
                concurrency=p.concurrency,
                input_tokens=p.input_tokens,
                output_tokens=p.output_tokens,
            )
            e2e_s = level.ttft_s + (p.output_tokens - 1) * level.tpot_s
            for name, value in (("tpot", level.tpot_s), ("ttft", level.ttft_s), ("e2e", e2e_s)):
                found[name].append(abs(value / measured[name] - 1))
    return _Scored(*((np.array(errors[name]), np.array(inside[name])) for name in ("tpot", "ttft", "e2e")))


def _measured(p: LoadPoint) -> dict[str, float]:
    tpot_s = p.tpot_s or 0.0
    return {"tpot": tpot_s, "ttft": p.ttft_s, "e2e": p.ttft_s + (p.output_tokens - 1) * tpot_s}


def _holds(forecast: Forecast, measured_s: float) -> bool:
    return forecast.low_s <= measured_s <= forecast.high_s


def _row(deployment: Deployment, score: _Scored) -> DeploymentScore:
    return DeploymentScore(
        name=deployment.name,
        points=int(score.tpot[0].size),
        tpot_median_frac=float(np.median(score.tpot[0])),
        ttft_median_frac=float(np.median(score.ttft[0])),
        e2e_median_frac=float(np.median(score.e2e[0])),
    )


def _summary(errors: Floats) -> ErrorSummary:
    return ErrorSummary(
        median_frac=float(np.median(errors)),
        mean_frac=float(errors.mean()),
        p90_frac=float(np.quantile(errors, 0.9)),
    )


def _board(protocol: str, deployments: int, scores: Sequence[_Scored], notes: Sequence[str]) -> Scoreboard:
    errors = {name: np.concatenate([getattr(s, name)[0] for s in scores]) for name in ("tpot", "ttft", "e2e")}
    inside = {name: np.concatenate([getattr(s, name)[1] for s in scores]) for name in ("tpot", "ttft", "e2e")}
    return Scoreboard(
        protocol=protocol,
        points=int(errors["ttft"].size),
        deployments=deployments,
        coverage_frac=float(np.concatenate(list(inside.values())).mean()),
        tpot=_summary(errors["tpot"]),
        e2e=_summary(errors["e2e"]),
        ttft=_summary(errors["ttft"]),
        tpot_coverage_frac=float(inside["tpot"].mean()),
        e2e_coverage_frac=float(inside["e2e"].mean()),
        ttft_coverage_frac=float(inside["ttft"].mean()),
        step_time_alone=None,
        simulated=None,
        by_deployment=(),
        notes=tuple(notes),
    )
