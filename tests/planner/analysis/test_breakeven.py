"""Crossings on staircases whose answers are known."""

from collections.abc import Callable

import numpy as np
import pytest

from planner.analysis.breakeven import Array, Difference, break_even, crossings, search_volumes
from planner.cost.draws import Draws, draws_from

MID = draws_from([{"requests_per_day": 1000.0, "fixed": 100.0}])


def staircase(worlds: Draws) -> Callable[[Array], Array]:
    """100 a step of 1,000 requests/day plus a fixed part, against 0.11 a request."""
    return lambda volumes: worlds.column("fixed") + 100.0 * np.ceil(volumes / 1000.0) - 0.11 * volumes


def always(difference: float) -> Difference:
    return lambda worlds: lambda volumes: np.full(volumes.shape, difference)


EDGES = np.arange(1, 300) * 1000.0


def test_all_three_crossings_of_a_staircase() -> None:
    """fixed 65: step n covers up to 1000 n at 65 + 100 n; the API costs 110 n at its end.

    At 7,000 the step costs 765 and the API 770: cheaper from 765 / 0.11 = 6,954.5 on; above 7,000 it is 865 and the API
    770: dearer again until 865 / 0.11 = 7,863.6 ... and so on: the gap at the start of step n + 1 is
    165 + 100 n - 110 n > 0 for n < 16.5. So up to step 8 there are crossings at 6,954.5, 7,000 and 7,863.6.
    """
    world = draws_from([{"requests_per_day": 1000.0, "fixed": 65.0}])
    volumes = np.concatenate([EDGES, EDGES * (1 + 1e-8)])
    found = crossings(staircase, world, np.unique(np.append(volumes[volumes < 7990], [100.0, 7990.0])))
    assert [c.requests_per_day for c in found] == pytest.approx([6954.5454, 7000.0, 7863.6364], abs=1e-3)
    assert [c.self_host_cheaper_above for c in found] == [True, False, True]


def test_the_range_spans_crossings_and_worlds() -> None:
    worlds = draws_from([{"requests_per_day": 1000.0, "fixed": fixed} for fixed in (65.0, 30.0, 300.0)])
    mid = draws_from([{"requests_per_day": 1000.0, "fixed": 65.0}])
    found = break_even(staircase, mid, worlds, np.geomspace(100.0, 1e6, 400), EDGES)
    # fixed 30: first at the very end of step 3, 330 = 0.11 * 3,000; the coarse search may miss that and the next
    assert found.low is not None
    assert 2_990 <= found.low <= 5_000
    # fixed 300: first 3,300 / 0.11 = 30,000, last in step 40 at 4,300 / 0.11 = 39,091
    assert 30_000 <= found.high <= 39_100  # located to 0.003 %
    assert found.worlds_without == 0


def test_no_break_even_is_no_number() -> None:
    found = break_even(always(1.0), MID, MID, search_volumes(1000.0), np.zeros(0))
    assert found.crossings == ()
    assert not found.always_cheaper
    assert found.low is None
    assert found.high is None
    assert found.worlds_without == 1


def test_always_cheaper_is_said() -> None:
    found = break_even(always(-1.0), MID, MID, search_volumes(1000.0), np.zeros(0))
    assert found.always_cheaper
    assert found.worlds_without == 0


def test_a_case_without_break_even_opens_the_range() -> None:
    worlds = draws_from([{"requests_per_day": 1000.0, "fixed": fixed} for fixed in (65.0, 1e12)])
    found = break_even(staircase, MID, worlds, np.geomspace(100.0, 1e6, 400), EDGES)
    assert found.high is None
    assert found.worlds_without == 1
