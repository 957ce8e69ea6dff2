"""How wrong the predictions are on open-loop runs that were never fitted: the same arrivals, simulated."""

from collections.abc import Sequence

import numpy as np

from measure.auto import LOADS, validation_name
from measure.calibration import Grouped, output_tokens
from measure.records import LevelRecord, Outcome, RequestRecord
from measure.slowness import Slowness, slowed
from measure.summary import e2e_s, tpot_s, ttft_s
from planner.profile import Check, EngineLimits, HeldBackRun, LevelSummary, StepTime
from planner.simulator.simulate import simulate
from planner.units import NANOSECONDS_PER_SECOND
from planner.workload import Workload

_MIN_REQUESTS = 5


def held_back_runs(
    step_time: StepTime,
    limits: EngineLimits,
    levels: Sequence[LevelRecord],
    summaries: Sequence[LevelSummary],
    requests: Grouped,
    slowness: Slowness,
) -> tuple[HeldBackRun, ...]:
    """One entry for every valid open-loop level with at least five complete requests, predicted for a machine as slow
    as this one was during the level."""
    runs = (
        _held_back(
            slowed(step_time, slowness.factor(place)),
            limits,
            level,
            requests[level.spec.level, level.session],
            cached_frac=summary.cached_input_frac or 0.0,
            slower=slowness.of_level[place],
        )
        for place, (level, summary) in enumerate(zip(levels, summaries, strict=True))
        if level.spec.mode == "open" and summary.valid
    )
    return tuple(run for run in runs if run is not None)


def _held_back(
    step_time: StepTime,
    limits: EngineLimits,
    level: LevelRecord,
    requests: Sequence[RequestRecord],
    *,
    cached_frac: float,
    slower: float | None,
) -> HeldBackRun | None:
    """Every request that was written is simulated, from the level's start on; compared are those that ended well within
    the steady window. A request that was cut counts with the length it was asked for."""
    sent = sorted((r for r in requests if r.written_ns is not None), key=lambda r: r.written_ns or 0)
    complete = [r.outcome is Outcome.OK and level.window_start_ns <= r.ended_ns <= level.window_end_ns for r in sent]
    if sum(complete) < _MIN_REQUESTS:
        return None
    known = [r.input_tokens for r in sent if r.input_tokens is not None]
    usual = round(float(np.mean(known))) if known else level.spec.input_tokens
    arrival_s = np.array([((r.written_ns or 0) - level.started_ns) / NANOSECONDS_PER_SECOND for r in sent])
    workload = Workload(
        name=level.spec.level,
        arrival_s=np.maximum(arrival_s, 0.0),
        input_tokens=np.array([usual if r.input_tokens is None else r.input_tokens for r in sent]),
        output_tokens=np.array([output_tokens(r) for r in sent]),
        span_s=max(float(arrival_s[-1]), 1e-9),
        starts_at=None,
        source=level.spec.level,
    )
    simulated = simulate(step_time, limits, workload, replicas=1, cached_frac=cached_frac)
    chosen = np.array(complete) & np.isfinite(simulated.e2e_s)
    if chosen.sum() < _MIN_REQUESTS:
        return None
    done = [r for r, is_chosen in zip(sent, chosen, strict=True) if is_chosen]
    tpots = [x for r in done if (x := tpot_s(r)) is not None]
    simulated_tpots = simulated.tpot_s[chosen]
    return HeldBackRun(
        rate_per_s=level.spec.target,
        load_frac=_load_frac(level.spec.level),
        requests=len(done),
        slowness=slower,
        tpot_mean=Check(measured_s=float(np.mean(tpots)), predicted_s=float(np.nanmean(simulated_tpots)))
        if tpots and np.isfinite(simulated_tpots).any()
        else None,
        e2e_mean=Check(
            measured_s=float(np.mean([e2e_s(r) or 0.0 for r in done])),
            predicted_s=float(simulated.e2e_s[chosen].mean()),
        ),
        ttft_p95=Check(
            measured_s=float(np.percentile([ttft_s(r) or 0.0 for r in done], 95)),
            predicted_s=float(np.percentile(simulated.ttft_s[chosen], 95)),
        ),
    )


def _load_frac(level: str) -> float | None:
    return next((load for load in LOADS if level.startswith(validation_name(load))), None)
