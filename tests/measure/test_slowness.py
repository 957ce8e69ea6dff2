"""How slow the machine itself was: by hand, and on this machine's own cores."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from measure.core_speed import CoreSpeedReader
from measure.engine import spin_count
from measure.samples import TelemetrySample
from measure.slowness import slowed, slowness, slowness_note
from planner.simulator.step_cost import decode_s, lone_ttft_s
from tests.measure.build import level
from tests.measure.test_held_back import LIMITS, STEP_TIME
from tests.measure.test_judge import sample


def samples(start_ms: int, work_s: float, count: int = 5) -> list[TelemetrySample]:
    calm = [sample(start_ms + 100 * k, host_cpu_frac=0.5, server_cpu_s=1.0) for k in range(count)]
    return [replace(s, core_work_s=work_s) for s in calm]


CLOSED = [level(start_ms=1000 * k, end_ms=1000 * k + 500) for k in (0, 1)]
OPEN = level(start_ms=2000, end_ms=2500, mode="open", target=2.0, is_validation=True)


def test_a_level_is_as_slow_as_its_work_over_the_mean_of_the_closed_levels() -> None:
    found = slowness([*CLOSED, OPEN], {1: [*samples(0, 140e-6), *samples(1000, 160e-6), *samples(2000, 180e-6)]})
    assert found.of_level == pytest.approx((140 / 150, 160 / 150, 180 / 150))
    assert found.factor(2) == pytest.approx(1.2)
    assert found.best == pytest.approx(140 / 150)
    (note,) = slowness_note([*CLOSED, OPEN], found)
    assert note.startswith("the cores themselves ran 0 to 29 % slower than at their best")


def test_without_readings_nothing_is_known_and_nothing_is_changed() -> None:
    few = {1: [*samples(0, 140e-6, count=3), *[replace(s, core_work_s=None) for s in samples(1000, 1.0)]]}
    for found in (slowness([*CLOSED, OPEN], {}), slowness([*CLOSED, OPEN], few)):
        assert found.of_level == (None, None, None)
        assert found.factor(0) == 1.0
        assert slowness_note([*CLOSED, OPEN], found) == []


def test_a_session_has_its_own_clock() -> None:
    assert slowness(CLOSED, {2: samples(0, 140e-6)}).of_level == (None, None)


def test_a_steady_machine_is_not_worth_a_note() -> None:
    found = slowness(CLOSED, {1: [*samples(0, 140e-6), *samples(1000, 145e-6)]})
    assert slowness_note(CLOSED, found) == []


def test_a_slower_machine_takes_longer_for_everything() -> None:
    curved = replace(STEP_TIME, per_sequence_s=0.0, decode_curve=((1, 0.0), (4, 0.006)))
    for step_time in (STEP_TIME, curved):
        slow = slowed(step_time, 1.5)
        assert lone_ttft_s(slow, LIMITS, 100) == pytest.approx(1.5 * lone_ttft_s(step_time, LIMITS, 100))
        assert decode_s(slow, 3) == pytest.approx(1.5 * decode_s(step_time, 3))


def test_the_work_takes_some_time_on_every_core_and_leaves_the_process_where_it_may_run() -> None:
    if not hasattr(os, "sched_getaffinity"):
        assert CoreSpeedReader().missing
        return
    before = os.sched_getaffinity(0)
    reader = CoreSpeedReader()
    works_s = [reader.sample() for _ in range(2 * len(before))]
    assert all(work_s is not None and 1e-6 < work_s < 1.0 for work_s in works_s)
    assert os.sched_getaffinity(0) == before


def test_beside_a_busy_neighbour_the_engine_is_told_to_spin_shortly() -> None:
    neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        assert spin_count() == "300"
    finally:
        neighbour.kill()
        neighbour.wait()
