"""How slow the machine itself was during a level, from the CPU time of a fixed piece of work: pure functions.

On a machine whose cores are shared with others, or whose clock wanders, a load measured in one minute does not predict
another load in the next, however good the model is. The fixed piece of work tells the two apart: it knows nothing of
the load, and the time it takes counts no other process of this machine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from measure.records import LevelRecord
from measure.samples import TelemetrySample
from planner.profile import StepTime

MIN_SAMPLES = 4
"""Telemetry samples, two a second with five readings each, below which a level's slowness is not known."""
NOTED_FRAC = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowness:
    """By place of the level: time of the fixed work over its mean in the closed-loop levels; `None` where not known.

    `best` is the same for the fastest tenth of all samples.
    """

    of_level: tuple[float | None, ...]
    best: float | None

    def factor(self, place: int) -> float:
        """What the level's times are multiplied by, 1 where it is not known."""
        known = self.of_level[place]
        return 1.0 if known is None else known


def slowness(levels: Sequence[LevelRecord], samples: Mapping[int, Sequence[TelemetrySample]]) -> Slowness:
    """`samples` by session. Levels at 150, 150 and 180 us of work, all closed: 0.94, 0.94 and 1.13."""
    works = [_work_s(level, samples.get(level.session, ())) for level in levels]
    closed = [
        work for level, work in zip(levels, works, strict=True) if work is not None and level.spec.mode == "closed"
    ]
    if not closed:
        return Slowness(of_level=(None,) * len(levels), best=None)
    usual = float(np.mean(closed))
    everything = [s.core_work_s for own in samples.values() for s in own if s.core_work_s is not None]
    return Slowness(
        of_level=tuple(None if work is None else work / usual for work in works),
        best=float(np.percentile(everything, 10)) / usual,
    )


def slowed(step_time: StepTime, factor: float) -> StepTime:
    """The step time of a machine that takes `factor` times as long for everything."""
    scaled = {
        x.name: getattr(step_time, x.name) * factor
        for x in fields(step_time)
        if isinstance(getattr(step_time, x.name), float)
    }
    return replace(step_time, decode_curve=tuple((d, s * factor) for d, s in step_time.decode_curve), **scaled)


def slowness_note(levels: Sequence[LevelRecord], found: Slowness) -> list[str]:
    """Between what speeds the machine wandered, where it did."""
    known = [x for x in found.of_level if x is not None]
    if found.best is None or not known or max(known) / found.best - 1 <= NOTED_FRAC:
        return []
    low, high = (100 * (x / found.best - 1) for x in (min(known), max(known)))
    return [
        f"the cores themselves ran {low:.0f} to {high:.0f} % slower than at their best while levels were held (a fixed "
        "piece of work, no other process counted): a lower clock, or a host that gives the cores' other hardware "
        "threads to somebody else; levels were fitted, and held-back runs predicted, with that taken out"
    ]


def _work_s(level: LevelRecord, samples: Sequence[TelemetrySample]) -> float | None:
    inside = [
        s.core_work_s
        for s in samples
        if s.core_work_s is not None and level.window_start_ns <= s.t_ns <= level.window_end_ns
    ]
    return float(np.mean(inside)) if len(inside) >= MIN_SAMPLES else None
