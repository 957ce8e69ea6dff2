"""From single requests to the figures of a level, over a window in which the load was held.

The window runs from the first completion to the last start: between them every place that fell free was taken again, so
neither the burst at the start nor the emptying at the end is in it. Latencies are those of the requests that started in
it (one that the tool cut later has a TTFT); rates count what arrived in it, a request by the share of its tokens.
Tools that divide by the whole run, or leave out what was under way at its end, state other rates (guidellm 20 % lower
with 15 s levels of 4 s requests).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.distribution import summarise
from planner.imports.document import mean
from planner.imports.record import Mode, ToolLevel, ToolRequest
from planner.profile import Statistics

TOO_SHORT = "the load was held for less than the time of one request: run it longer"

MIN_HELD_FRAC = 0.7
"""Tools pause between requests; a level is fitted at what was in flight, and below this share of the target not at
all."""

MAX_FAILED_FRAC = 0.1
"""Twice what our own levels may have: other clients count a kept connection that the server closed as a failed request
(aiperf 5 to 6 % against llama.cpp)."""

ALL_AT_ONCE = "all requests were sent before the first one ended, so no load was held: run it longer"

Floats = NDArray[np.float64]


def level_of_requests(
    requests: Sequence[ToolRequest],
    *,
    mode: Mode,
    target: float | None,
    is_poisson: bool = False,
    notes: Sequence[str] = (),
) -> ToolLevel | None:
    """The level that these requests are; `None` without a request. Without a `target` the most in flight are it.

    16 streams of requests of 4.0 s, cut after 15 s: the window is 4.0 s to 12.0 s, and 32 completions in 8.0 s are
    4.0 requests/s.
    """
    if not requests:
        return None
    starts = np.array([r.start_s for r in requests])
    ends = np.array([r.ended_s for r in requests])
    wanted = float(_most_in_flight(starts, ends)) if target is None else target
    notes = list(notes)
    good = [r for r in requests if r.outcome == "ok"]
    from_s = min((r.ended_s for r in good), default=float(ends.min()))
    to_s = float(starts.max())
    reasons = []
    if to_s <= from_s:
        reasons.append(ALL_AT_ONCE if len(requests) > 1 else "a single request is no level")
        from_s, to_s = float(starts.min()), float(ends.max())
        steady = good
    else:
        steady = [r for r in good if from_s <= r.start_s <= to_s]
        if not steady:
            steady = good
            notes.append("no request both began after the first completion and ended: the first ones are counted")
    cut = [r for r in requests if r.outcome == "cut" and from_s <= r.start_s <= to_s]
    window_s = to_s - from_s
    usual_life_s = mean(r.ended_s - r.start_s for r in good)
    if not reasons and usual_life_s is not None and window_s < usual_life_s:
        reasons.append(TOO_SHORT)
    in_flight = float(np.clip(np.minimum(ends, to_s) - np.maximum(starts, from_s), 0, None).sum()) / window_s
    tokens, completions = _produced(requests, good, from_s, to_s)
    failures = Counter(r.outcome for r in requests if r.outcome not in ("ok", "cut"))
    failed = sum(failures.values())
    if not good:
        reasons.append("no request succeeded")
    elif failed > MAX_FAILED_FRAC * (failed + len(good)):
        reasons.append(f"{failed} of {failed + len(good)} requests failed")
    inputs = [r.input_tokens for r in steady if r.input_tokens is not None]
    level = ToolLevel(
        mode=mode,
        target=wanted,
        is_poisson=is_poisson,
        is_steady=True,
        window_s=window_s,
        concurrency=in_flight,
        requests_per_s=completions / window_s,
        input_tokens_per_s=None if not inputs else completions / window_s * float(np.mean(inputs)),
        output_tokens_per_s=tokens / window_s,
        input_tokens=statistics(inputs),
        output_tokens=statistics([r.output_tokens for r in steady if r.output_tokens is not None]),
        ttft_s=statistics([r.first_s - r.start_s for r in (*steady, *cut) if r.first_s is not None]),
        tpot_s=statistics([x for r in steady if (x := _tpot_s(r)) is not None]),
        itl_s=statistics([gap for r in steady for gap in r.gaps_s]),
        e2e_s=statistics([r.last_s - r.start_s for r in steady if r.last_s is not None]),
        failures=tuple(sorted(failures.items())),
        invalid_reasons=tuple(reasons),
        notes=tuple(notes),
    )
    return held_at(level)


def held_at(level: ToolLevel) -> ToolLevel:
    """The level, marked where far fewer requests were in flight than its closed loop wanted; one alone is always
    alone."""
    flying = level.concurrency
    if level.mode != "closed" or level.invalid_reasons or flying is None or level.target <= 1:
        return level
    if flying >= MIN_HELD_FRAC * level.target:
        return level
    reason = f"only {flying:.2f} of {level.target:g} requests were in flight on average"
    return replace(level, invalid_reasons=(reason,))


def statistics(sample: Sequence[float]) -> Statistics | None:
    """Mean and percentiles of a sample; `None` for an empty one."""
    whole = summarise(sample)
    if whole is None:
        return None
    return Statistics(mean=whole.mean, count=whole.count, p50=whole.p50, p95=whole.p95, p99=whole.p99, max=whole.max)


def _tpot_s(request: ToolRequest) -> float | None:
    if request.tpot_s is not None:
        return request.tpot_s
    if request.first_s is None or request.last_s is None or request.output_tokens is None:
        return None
    if request.output_tokens <= 1 or request.last_s <= request.first_s:
        return None
    return (request.last_s - request.first_s) / (request.output_tokens - 1)


def _produced(
    requests: Sequence[ToolRequest], good: Sequence[ToolRequest], from_s: float, to_s: float
) -> tuple[float, float]:
    """Output tokens and completions in the window: each request by the share of its life in it, spread evenly.

    One that the tool cut counts for the share of the usual life that it had.
    """
    usual_life_s = mean(r.ended_s - r.start_s for r in good) or 1.0
    usual_tokens = mean(r.output_tokens for r in good if r.output_tokens is not None) or 0.0
    tokens = completions = 0.0
    for r in requests:
        if r.outcome not in ("ok", "cut"):
            continue
        life_s = r.ended_s - r.start_s if r.outcome == "ok" else max(usual_life_s, r.ended_s - r.start_s)
        share = max(min(r.ended_s, to_s) - max(r.start_s, from_s), 0.0) / life_s if life_s > 0 else 0.0
        completions += share
        tokens += share * (usual_tokens if r.output_tokens is None or r.outcome == "cut" else r.output_tokens)
    return tokens, completions


def _most_in_flight(starts: Floats, ends: Floats) -> int:
    """Three requests of which two overlap give 2. One that starts as another ends does not overlap it."""
    begun = np.arange(1, starts.size + 1)
    return int((begun - np.searchsorted(np.sort(ends), np.sort(starts), side="right")).max())
