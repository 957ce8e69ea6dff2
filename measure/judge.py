"""What a level's own requests cannot tell: whether the client or other processes distorted it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from measure.records import LevelRecord, RunInfo, Sensors, Session, TelemetrySample
from measure.sweep import QUICK_PLAN
from planner.profile import LevelSummary
from planner.units import MILLISECONDS_PER_SECOND, NANOSECONDS_PER_SECOND

MAX_BIAS_FRAC = 0.05
MAX_OTHER_CORES = 0.25


def judge_levels(
    info: RunInfo,
    levels: Sequence[LevelRecord],
    summaries: Sequence[LevelSummary],
    samples: Sequence[TelemetrySample],
    sensors: Sequence[Sensors],
) -> tuple[list[LevelSummary], list[str]]:
    """Invalidate levels that the client's own bias or other processes distorted.

    A quick run is taken as it comes: there contention is only said, in the second list.
    """
    biases = {session.session: session.client_bias for session in info.sessions}
    judged, warnings = [], []
    for level, summary in zip(levels, summaries, strict=True):
        reasons = list(summary.invalid_reasons)
        bias = biases.get(level.session)
        if bias and bias.ttft_bias_s and summary.ttft_s and bias.ttft_bias_s > MAX_BIAS_FRAC * summary.ttft_s.mean:
            reasons.append(
                f"the load client itself adds {bias.ttft_bias_s * MILLISECONDS_PER_SECOND:.1f} ms to a TTFT of "
                f"{summary.ttft_s.mean * MILLISECONDS_PER_SECOND:.1f} ms"
            )
        others = _other_cores(level, samples, sensors)
        if others is not None and others > MAX_OTHER_CORES:
            text = f"other processes used {others:.1f} cores"
            if info.plan.name == QUICK_PLAN:
                warnings.append(f"{level.spec.level}: {text}; what was measured is this busy machine")
            else:
                reasons.append(text)
        judged.append(replace(summary, valid=not reasons, invalid_reasons=tuple(reasons)))
    return judged, warnings


def _other_cores(level: LevelRecord, samples: Sequence[TelemetrySample], sensors: Sequence[Sensors]) -> float | None:
    """Cores busy within the window, less those of server and load client. Two cores at 90 % with 1.2 cores of server
    and 0.1 of client leave 0.5. `None` where the server's share is not known."""
    inside = [s for s in samples if level.window_start_ns <= s.t_ns <= level.window_end_ns]
    cpu_count = next((s.cpu_count for s in sensors if s.session == level.session), None)
    if len(inside) < 2 or cpu_count is None:
        return None
    first, last = inside[0], inside[-1]
    if first.server_cpu_s is None or last.server_cpu_s is None:
        return None
    server = (last.server_cpu_s - first.server_cpu_s) / ((last.t_ns - first.t_ns) / NANOSECONDS_PER_SECOND)
    client = level.client_cpu_s / ((level.window_end_ns - level.window_start_ns) / NANOSECONDS_PER_SECOND)
    busy = float(np.mean([s.host_cpu_frac for s in inside[1:]])) * cpu_count
    return max(0.0, busy - server - client)


def bias_note(session: Session) -> list[str]:
    """What the client made of the null server, as a note for the profile; empty where it was not tried."""
    bias = session.client_bias
    if bias is None or bias.ttft_bias_s is None or bias.itl_error_frac is None:
        return []
    ttft_ms = bias.ttft_bias_s * MILLISECONDS_PER_SECOND
    return [
        f"the load client on a null server with {bias.streams} streams: "
        f"TTFT {ttft_ms:+.2f} ms, ITL {bias.itl_error_frac:+.2%}"
    ]
