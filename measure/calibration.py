"""From the judged levels of a run to a step time: fitted to level means, then refined by simulating the levels."""

from collections.abc import Mapping, Sequence

import numpy as np

from measure.records import LevelRecord, Outcome, RequestRecord
from measure.slowness import Slowness
from planner.profile import EngineLimits, LevelSummary, StepTimeFit
from planner.steptime.fit import LoadPoint, fit_step_time
from planner.steptime.refine import ClosedLevel, refine_step_time
from planner.units import NANOSECONDS_PER_SECOND

Grouped = Mapping[tuple[str, int], Sequence[RequestRecord]]
"""Requests by level and session."""


def load_points(summaries: Sequence[LevelSummary]) -> list[LoadPoint]:
    """Means of the valid closed-loop levels. Open-loop levels are for validation and never fitted.

    A TPOT of 0, from outputs so short that one read held all of them, is no measurement and left out.
    """
    return [
        LoadPoint(
            concurrency=summary.target,
            input_tokens=summary.input_tokens.mean,
            output_tokens=summary.output_tokens.mean,
            ttft_s=summary.ttft_s.mean,
            tpot_s=summary.tpot_s.mean if summary.tpot_s is not None and summary.tpot_s.mean > 0 else None,
        )
        for summary in summaries
        if summary.valid
        and summary.mode == "closed"
        and summary.input_tokens
        and summary.output_tokens
        and summary.ttft_s
    ]


def calibrate(
    points: Sequence[LoadPoint],
    levels: Sequence[LevelRecord],
    summaries: Sequence[LevelSummary],
    requests: Grouped,
    *,
    limits: EngineLimits,
    slowness: Slowness,
    seed: int,
) -> StepTimeFit:
    """The step time that the simulator needs to give the means of the valid closed-loop levels, each at the machine's
    mean speed."""
    fit = fit_step_time(points, limits=limits, seed=seed)
    closed = (
        _closed_level(level, summary, requests[level.spec.level, level.session], slowness.factor(place))
        for place, (level, summary) in enumerate(zip(levels, summaries, strict=True))
        if summary.valid and summary.mode == "closed"
    )
    return refine_step_time(fit, [level for level in closed if level is not None], limits=limits, seed=seed)


def _closed_level(
    level: LevelRecord, summary: LevelSummary, requests: Sequence[RequestRecord], slower: float
) -> ClosedLevel | None:
    """The level as it was run, `None` where nothing was measured in it; its times as on a machine of mean speed, where
    it was run on one `slower` times as slow."""
    sent = sorted((r for r in requests if r.written_ns is not None), key=lambda r: r.written_ns or 0)
    if not sent or summary.ttft_s is None or summary.input_tokens is None:
        return None
    streams = round(level.spec.target)
    usual = round(summary.input_tokens.mean)
    first_ns = sent[0].written_ns or 0
    starts = [((r.written_ns or 0) - first_ns) / NANOSECONDS_PER_SECOND for r in sent[:streams]]
    return ClosedLevel(
        concurrency=streams,
        input_tokens=np.array([usual if r.input_tokens is None else r.input_tokens for r in sent]),
        output_tokens=np.array([output_tokens(r) for r in sent]),
        start_s=np.array(starts) / slower,
        ttft_s=summary.ttft_s.mean / slower,
        tpot_s=summary.tpot_s.mean / slower if summary.tpot_s is not None and summary.tpot_s.mean > 0 else None,
    )


def output_tokens(request: RequestRecord) -> int:
    """What came, or, where the request did not end well, what was asked for."""
    if request.outcome is Outcome.OK and request.output_tokens is not None:
        return request.output_tokens
    return request.requested_output_tokens
