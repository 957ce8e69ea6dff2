"""What a level's own requests cannot tell: whether the client or other processes distorted it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from measure.gpu import POWER_CAP
from measure.records import ClientBias, LevelRecord, RunInfo, Sensors, Session, TelemetrySample
from measure.sweep import QUICK_PLAN
from planner.profile import LevelSummary
from planner.units import MILLISECONDS_PER_SECOND, NANOSECONDS_PER_SECOND

MAX_BIAS_S = 0.0015
MAX_BIAS_FRAC = 0.05
MAX_OTHER_CORES = 0.25
MAX_THROTTLED_FRAC = 0.05
MAX_TELEMETRY_FRAC = 0.01


def judge_levels(
    info: RunInfo,
    levels: Sequence[LevelRecord],
    summaries: Sequence[LevelSummary],
    samples: Sequence[TelemetrySample],
    sensors: Sequence[Sensors],
) -> tuple[list[LevelSummary], list[str]]:
    """Invalidate levels that the client's own bias or other processes distorted.

    In a quick run, and where too little would remain to compute a profile from, the reasons are warnings instead (the
    second list): then the busy machine is what was measured.
    """
    biases = {session.session: session.client_bias for session in info.sessions}
    reasons = [
        [*_bias_reasons(summary, biases.get(level.session)), *_machine_reasons(level, samples, sensors)]
        for level, summary in zip(levels, summaries, strict=True)
    ]
    undisturbed = [summary for summary, why in zip(summaries, reasons, strict=True) if not why]
    if info.plan.name != QUICK_PLAN and len({s.target for s in undisturbed if s.valid and s.mode == "closed"}) >= 2:
        return [_invalidate(summary, why) for summary, why in zip(summaries, reasons, strict=True)], []
    disturbed = [f"{level.spec.level} ({'; '.join(why)})" for level, why in zip(levels, reasons, strict=True) if why]
    if not disturbed:
        return list(summaries), []
    count = f"{len(disturbed)} of {len(levels)} levels"
    return list(summaries), [f"what was measured is a busy machine, at {count}: {', '.join(disturbed)}"]


def _invalidate(summary: LevelSummary, reasons: Sequence[str]) -> LevelSummary:
    if not reasons:
        return summary
    return replace(summary, valid=False, invalid_reasons=(*summary.invalid_reasons, *reasons))


def _bias_reasons(summary: LevelSummary, bias: ClientBias | None) -> list[str]:
    if bias is None or bias.ttft_bias_s is None or summary.ttft_s is None:
        return []
    if bias.ttft_bias_s <= max(MAX_BIAS_S, MAX_BIAS_FRAC * summary.ttft_s.mean):
        return []
    bias_ms, ttft_ms = bias.ttft_bias_s * MILLISECONDS_PER_SECOND, summary.ttft_s.mean * MILLISECONDS_PER_SECOND
    return [f"the load client itself adds {bias_ms:.1f} ms to a TTFT of {ttft_ms:.1f} ms"]


def _machine_reasons(level: LevelRecord, samples: Sequence[TelemetrySample], sensors: Sequence[Sensors]) -> list[str]:
    cores = _other_cores(level, samples, sensors)
    reasons = [f"other processes used {cores:.1f} cores"] if cores is not None and cores > MAX_OTHER_CORES else []
    return reasons + _gpu_reasons([s for s in samples if level.window_start_ns <= s.t_ns <= level.window_end_ns])


def _gpu_reasons(inside: Sequence[TelemetrySample]) -> list[str]:
    """Slowed clocks and company on a GPU. A power cap is how a GPU under load normally runs, and no reason."""
    slowed = Counter(why for s in inside for why in {w for gpu in s.gpus for w in gpu.throttle_reasons} - {POWER_CAP})
    reasons = [
        f"a GPU was slowed down for {count / len(inside):.0%} of the time ({why})"
        for why, count in slowed.items()
        if count > MAX_THROTTLED_FRAC * len(inside)
    ]
    others = max((gpu.other_processes or 0 for s in inside for gpu in s.gpus), default=0)
    return [*reasons, f"{others} other process(es) held a GPU"] if others else reasons


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


def telemetry_note(samples: Sequence[TelemetrySample]) -> list[str]:
    """The sampling process's own use of a core, where it is more than it should be."""
    spent = [(sample.t_ns, sample.own_cpu_s) for sample in samples if sample.own_cpu_s is not None]
    if len(spent) < 2 or spent[-1][0] <= spent[0][0]:
        return []
    frac = (spent[-1][1] - spent[0][1]) / ((spent[-1][0] - spent[0][0]) / NANOSECONDS_PER_SECOND)
    return [f"telemetry itself used {frac:.1%} of a core"] if frac > MAX_TELEMETRY_FRAC else []
