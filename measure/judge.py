"""What a level's own requests cannot tell: whether the client or other processes distorted it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from measure.auto import AGAIN, CI_TARGET_FRAC
from measure.endpoint import parse_endpoint
from measure.gpu import POWER_CAP
from measure.records import LevelRecord
from measure.run_info import ClientBias, RunInfo, Session, TargetInfo
from measure.samples import Sensors, TelemetrySample
from measure.sweep import LADDER_SHAPE, QUICK_PLAN
from planner.profile import LevelSummary
from planner.units import MILLISECONDS_PER_SECOND, NANOSECONDS_PER_SECOND

MAX_BIAS_S = 0.0015
MAX_BIAS_FRAC = 0.05
MAX_THROTTLED_FRAC = 0.05
MAX_TELEMETRY_FRAC = 0.01
MAX_DRIFT_FRAC = 0.05
_OTHERS = "other processes"
MIN_OTHER_CORES = 0.1
MAX_OTHER_FRAC = 0.06
"""Other processes count as a disturbance from this share of the machine on. Undisturbed levels on two cores show up to
0.08 cores of kernel and telemetry; 0.15 cores beside an engine that uses both already made its steps a third longer."""


def measures_this_machine(target: TargetInfo) -> bool:
    """Whether the telemetry describes the server's machine, and not the load client's alone."""
    return target.kind != "endpoint" or parse_endpoint(target.location).is_local


def judge_levels(
    info: RunInfo,
    levels: Sequence[LevelRecord],
    summaries: Sequence[LevelSummary],
    samples: Sequence[TelemetrySample],
    sensors: Sequence[Sensors],
) -> tuple[list[LevelSummary], list[str]]:
    """Invalidate levels that the client's own bias or other processes distorted.

    A plan that keeps contended levels has other processes' reasons as warnings instead (the second list): then the
    busy machine is what was measured.
    """
    judged, disturbed = [], []
    for level, summary in zip(levels, summaries, strict=True):
        one, why = judge_level(info, level, summary, samples, sensors)
        judged.append(one)
        disturbed += [f"{level.spec.level} ({'; '.join(why)})"] if why else []
    if not disturbed or not _keeps_contended(info):
        return judged, []
    count = f"{len(disturbed)} of {len(levels)} levels"
    return judged, [f"what was measured is a busy machine, at {count}: {', '.join(disturbed)}"]


def judge_level(
    info: RunInfo,
    level: LevelRecord,
    summary: LevelSummary,
    samples: Sequence[TelemetrySample],
    sensors: Sequence[Sensors],
) -> tuple[LevelSummary, list[str]]:
    """The level with the reasons that its own requests cannot tell, and separately those that a busy machine causes.

    A busy machine slows the load client too, so where its levels are kept, the client's bias is a warning as well.
    """
    bias = _bias_for(summary, next((s for s in info.sessions if s.session == level.session), None))
    disturbances = [*_bias_reasons(summary, bias), *_machine_reasons(level, samples, sensors)]
    if _keeps_contended(info):
        return replace(summary, warnings=tuple(disturbances)), disturbances
    return _invalidate(summary, disturbances), disturbances


def _keeps_contended(info: RunInfo) -> bool:
    return info.plan.keeps_contended or info.plan.name == QUICK_PLAN


def _invalidate(summary: LevelSummary, reasons: Sequence[str]) -> LevelSummary:
    if not reasons:
        return summary
    return replace(summary, valid=False, invalid_reasons=(*summary.invalid_reasons, *reasons))


def _bias_for(summary: LevelSummary, session: Session | None) -> ClientBias | None:
    """The self-test at the level's own number of streams, or at the next higher one that was tried."""
    if session is None or session.client_bias is None:
        return None
    streams = summary.target if summary.mode == "closed" else summary.achieved_concurrency
    tried = sorted(session.fewer_streams_biases, key=lambda bias: bias.streams)
    return next((bias for bias in tried if bias.streams >= streams), session.client_bias)


def _bias_reasons(summary: LevelSummary, bias: ClientBias | None) -> list[str]:
    if bias is None or bias.ttft_bias_s is None or summary.ttft_s is None:
        return []
    if bias.ttft_bias_s <= max(MAX_BIAS_S, MAX_BIAS_FRAC * summary.ttft_s.mean):
        return []
    bias_ms, ttft_ms = bias.ttft_bias_s * MILLISECONDS_PER_SECOND, summary.ttft_s.mean * MILLISECONDS_PER_SECOND
    return [f"the load client itself adds {bias_ms:.1f} ms to a TTFT of {ttft_ms:.1f} ms"]


def _machine_reasons(level: LevelRecord, samples: Sequence[TelemetrySample], sensors: Sequence[Sensors]) -> list[str]:
    cores = _other_cores(level, samples, sensors)
    cpu_count = next((s.cpu_count for s in sensors if s.session == level.session), None)
    reasons = []
    if cores is not None and cpu_count is not None and cores > max(MIN_OTHER_CORES, MAX_OTHER_FRAC * cpu_count):
        reasons.append(f"{_OTHERS} used {cores:.2g} cores")
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


def is_contention(reason: str) -> bool:
    """Whether the reason for a level's invalidity is other processes' load."""
    return reason.startswith(_OTHERS)


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


def uncertain_note(levels: Sequence[LevelRecord], summaries: Sequence[LevelSummary]) -> list[str]:
    """Which valid closed-loop levels know their throughput less well than they should, after all repetitions."""
    wide = [
        f"{level.spec.level} +-{summary.output_tokens_per_s_ci_frac:.0%}"
        for level, summary in zip(levels, summaries, strict=True)
        if summary.valid
        and summary.mode == "closed"
        and summary.shape != LADDER_SHAPE
        and (summary.output_tokens_per_s_ci_frac or 0.0) > CI_TARGET_FRAC
    ]
    if not wide:
        return []
    return [f"throughput not known to within {CI_TARGET_FRAC:.0%} (95 % interval) at {', '.join(wide)}"]


def drift_note(levels: Sequence[LevelRecord], summaries: Sequence[LevelSummary]) -> list[str]:
    """Whether the machine was as fast at the end as at the start, where a level was run at both."""
    found = {level.spec.level: s for level, s in zip(levels, summaries, strict=True) if s.valid}
    again = next((name for name in found if name.endswith(AGAIN)), None)
    first = found.get(again.removesuffix(AGAIN)) if again else None
    if again is None or first is None or not first.output_tokens_per_s:
        return []
    drift = found[again].output_tokens_per_s / first.output_tokens_per_s - 1
    return [f"the machine's speed changed by {drift:+.0%} during the run"] if abs(drift) > MAX_DRIFT_FRAC else []


def telemetry_note(samples: Sequence[TelemetrySample]) -> list[str]:
    """The sampling process's own use of a core, where it is more than it should be."""
    spent = [(sample.t_ns, sample.own_cpu_s) for sample in samples if sample.own_cpu_s is not None]
    if len(spent) < 2 or spent[-1][0] <= spent[0][0]:
        return []
    frac = (spent[-1][1] - spent[0][1]) / ((spent[-1][0] - spent[0][0]) / NANOSECONDS_PER_SECOND)
    return [f"telemetry itself used {frac:.1%} of a core"] if frac > MAX_TELEMETRY_FRAC else []
