"""Energy over exactly a window of time, from counters and from power samples that fall beside its edges."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from measure.records import LevelRecord
from measure.run_info import Session
from measure.samples import Sensors, TelemetrySample
from planner.profile import LevelSummary, Power, WindowEnergy
from planner.units import NANOSECONDS_PER_SECOND

Scope = Literal["gpu", "cpu-package"]
SCOPES: tuple[Scope, ...] = ("gpu", "cpu-package")
MAX_DISAGREEMENT_FRAC = 0.05
_MIN_POWER_WINDOW_S = 1.0
_MIN_IDLE_S = 0.9
_MAX_EDGE_S = 2.0
"""A window may begin before the first sample, or end after the last, by no more than this; else nothing is known."""


def window_energy(samples: Sequence[TelemetrySample], start_ns: int, end_ns: int, scope: Scope) -> WindowEnergy | None:
    """Energy between two instants; `None` without readings on both sides of, or near, both edges.

    Counters are interpolated linearly at the edges. A counter of 0, 100, 200 and 300 J at 0, 1, 2 and 3 s gives 150 J
    from 0.5 to 2 s; power samples of 100 W at the same times give the same by the trapezoid rule.
    """
    counter = _series(samples, scope, of_power=False)
    power = _series(samples, scope, of_power=True)
    counter_j = _between(*counter, start_ns, end_ns) if counter is not None else None
    trapezoid_j = _trapezoid(*power, start_ns, end_ns) if power is not None else None
    if counter_j is None and trapezoid_j is None:
        return None
    disagreement = None
    if counter_j and trapezoid_j is not None:
        disagreement = abs(trapezoid_j - counter_j) / counter_j
    return WindowEnergy(scope=scope, counter_j=counter_j, trapezoid_j=trapezoid_j, disagreement_frac=disagreement)


def mean_power_w(
    samples: Sequence[TelemetrySample], windows: Sequence[tuple[int, int]], scope: Scope, *, min_window_s: float
) -> float | None:
    """Energy over time of all windows together; `None` if those with readings last less than `min_window_s`."""
    joules = seconds = 0.0
    for start_ns, end_ns in windows:
        energy = window_energy(samples, start_ns, end_ns, scope)
        if energy is not None:
            joules += energy.energy_j
            seconds += (end_ns - start_ns) / NANOSECONDS_PER_SECOND
    return joules / seconds if seconds >= min_window_s else None


def energy_of_level(level: LevelRecord, samples: Sequence[TelemetrySample]) -> tuple[WindowEnergy, ...]:
    """One entry for every scope that was metered in the level's steady window."""
    found = (window_energy(samples, level.window_start_ns, level.window_end_ns, scope) for scope in SCOPES)
    return tuple(energy for energy in found if energy is not None)


def power_of_run(
    session: Session,
    levels: Sequence[LevelRecord],
    samples: Sequence[TelemetrySample],
    sensors: Sequence[Sensors],
    missing: dict[str, str],
) -> Power | None:
    """Mean watts over the idle stretch before the load and over the steady windows of the newest session."""
    windows = [(x.window_start_ns, x.window_end_ns) for x in levels if x.session == session.session]
    idle = [(session.idle_start_ns, session.idle_end_ns)] if session.idle_start_ns and session.idle_end_ns else []
    for scope in SCOPES:
        idle_w = mean_power_w(samples, idle, scope, min_window_s=_MIN_IDLE_S)
        loaded_w = mean_power_w(samples, windows, scope, min_window_s=_MIN_POWER_WINDOW_S)
        if idle_w is not None and loaded_w is not None:
            return Power(scope=scope, idle_w=idle_w, loaded_w=loaded_w)
    reasons = sensors[-1].missing if sensors else {}
    missing["power"] = (
        "; ".join(v for k, v in reasons.items() if k != "server")
        or "no power sensor was sampled on the server's machine"
    )
    return None


def energy_notes(summaries: Sequence[LevelSummary]) -> list[str]:
    """Levels at which counter and power samples contradict each other."""
    return [
        f"{summary.shape} at {summary.target:g}: the {energy.scope} energy counter says {energy.counter_j:.0f} J, "
        f"the power samples {energy.trapezoid_j:.0f} J ({energy.disagreement_frac:.0%} apart); the counter is used"
        for summary in summaries
        for energy in summary.energy
        if energy.disagreement_frac is not None and energy.disagreement_frac > MAX_DISAGREEMENT_FRAC
    ]


def _series(
    samples: Sequence[TelemetrySample], scope: Scope, *, of_power: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Times [s] and joules or watts of all devices of a scope together; `None` where one device says nothing."""
    times, values = [], []
    for sample in samples:
        value = _reading(sample, scope, of_power=of_power)
        if value is not None:
            times.append(sample.t_ns / NANOSECONDS_PER_SECOND)
            values.append(value)
    return (np.array(times), np.array(values)) if len(times) >= 2 else None


def _reading(sample: TelemetrySample, scope: Scope, *, of_power: bool) -> float | None:
    if scope == "cpu-package":
        return None if of_power else sample.package_energy_j
    readings = [gpu.power_w if of_power else gpu.energy_j for gpu in sample.gpus]
    known = [reading for reading in readings if reading is not None]
    return sum(known) if known and len(known) == len(readings) else None


def _covers(times: NDArray[np.float64], start_ns: int, end_ns: int) -> bool:
    start_s, end_s = start_ns / NANOSECONDS_PER_SECOND, end_ns / NANOSECONDS_PER_SECOND
    inside = bool(np.any((times >= start_s) & (times <= end_s)))
    is_near = times[0] <= start_s + _MAX_EDGE_S and times[-1] >= end_s - _MAX_EDGE_S
    has_both_sides = times[0] <= start_s and times[-1] >= end_s
    return bool(is_near and (inside or has_both_sides))


def _between(times: NDArray[np.float64], counts: NDArray[np.float64], start_ns: int, end_ns: int) -> float | None:
    """Growth of a counter. Where a window begins before the first reading, or ends after the last, the mean rate
    between the readings at its edges stands for the missing part."""
    if not _covers(times, start_ns, end_ns):
        return None
    start_s = max(start_ns / NANOSECONDS_PER_SECOND, times[0])
    end_s = min(end_ns / NANOSECONDS_PER_SECOND, times[-1])
    if end_s <= start_s:
        return None
    first, last = np.interp([start_s, end_s], times, counts)
    return float((last - first) / (end_s - start_s)) * (end_ns - start_ns) / NANOSECONDS_PER_SECOND


def _trapezoid(times: NDArray[np.float64], watts: NDArray[np.float64], start_ns: int, end_ns: int) -> float | None:
    if not _covers(times, start_ns, end_ns):
        return None
    start_s, end_s = start_ns / NANOSECONDS_PER_SECOND, end_ns / NANOSECONDS_PER_SECOND
    inner = times[(times > start_s) & (times < end_s)]
    grid = np.concatenate(([start_s], inner, [end_s]))
    return float(np.trapezoid(np.interp(grid, times, watts), grid))
