"""Batch work in the valleys: by hand, against a linear program, and what must not change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from planner.capacity.deferral import deferred_week
from planner.workload import WeekShape, flat_week, servegen_week

HALVES = WeekShape(name="halves", weights=((1.5,) * 12 + (0.5,) * 12) * 7, source="by hand")


def test_a_fifth_of_the_day_done_at_night() -> None:
    """12 of 12 hours' fifth of 1.5 may reach the night, which then holds 0.5 + 0.3; no valley is left to fill."""
    weights = np.array(deferred_week(HALVES, deferrable_frac=0.2, deadline_h=12).weights)
    assert weights == pytest.approx([*([1.2] * 12), *([0.8] * 12)] * 7, abs=1e-5)


def test_all_of_it_may_wait_a_day_and_every_hour_is_alike() -> None:
    assert deferred_week(HALVES, deferrable_frac=1.0, deadline_h=23).weights == pytest.approx((1.0,) * 168, abs=1e-4)


def test_nothing_to_defer_is_the_same_shape() -> None:
    shape = servegen_week()
    assert deferred_week(shape, deferrable_frac=0.0, deadline_h=24) == shape
    assert deferred_week(flat_week(), deferrable_frac=0.5, deadline_h=24).weights == pytest.approx((1.0,) * 168)
    with pytest.raises(ValueError, match="share"):
        deferred_week(shape, deferrable_frac=1.5, deadline_h=24)


def _least_peak(shape: WeekShape, frac: float, deadline_h: int) -> float:
    """The lowest possible peak: a transport problem solved by HiGHS."""
    n, k = 168, deadline_h + 1
    cost = np.zeros(n * k + 1)
    cost[-1] = 1.0
    sent = np.zeros((n, n * k + 1))
    loads = np.zeros((n, n * k + 1))
    for h in range(n):
        sent[h, h * k : (h + 1) * k] = 1.0
        for j in range(k):
            loads[(h + j) % n, h * k + j] = 1.0
    loads[:, -1] = -1.0
    weights = np.array(shape.weights)
    found = linprog(cost, A_ub=loads, b_ub=-(1 - frac) * weights, A_eq=sent, b_eq=frac * weights)
    return float(found.fun)


@pytest.mark.parametrize(("frac", "deadline_h"), [(0.1, 4), (0.3, 12), (0.5, 24)])
def test_no_schedule_has_a_lower_peak(frac: float, deadline_h: int) -> None:
    shape = servegen_week()
    peak = max(deferred_week(shape, deferrable_frac=frac, deadline_h=deadline_h).weights)
    assert peak == pytest.approx(_least_peak(shape, frac, deadline_h), rel=1e-4)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.floats(0.0, 5.0), min_size=168, max_size=168).filter(lambda w: sum(w) > 1),
    st.floats(0.05, 1.0),
    st.integers(1, 30),
)
def test_work_is_conserved_never_early_and_never_late(raw: list[float], frac: float, deadline_h: int) -> None:
    weights = np.array(raw) * 168 / sum(raw)
    shape = WeekShape(name="any", weights=tuple(weights.tolist()), source="by hand")
    done = np.array(deferred_week(shape, deferrable_frac=frac, deadline_h=deadline_h).weights)
    assert done.sum() == pytest.approx(168.0)
    assert np.all(done >= (1 - frac) * weights - 1e-9)
    assert done.max() <= weights.max() + 1e-9
    # in any stretch [a, b] at least what was sent in [a, b - deadline] and must not wait longer, at most all sent since
    for a in range(0, 168, 13):
        for length in (deadline_h + 1, deadline_h + 20):
            stretch = np.arange(a, a + length) % 168
            must = weights[stretch].sum() - frac * weights[stretch[length - deadline_h :]].sum()
            may = weights[stretch].sum() + frac * weights[np.arange(a - deadline_h, a) % 168].sum()
            assert must - 1e-6 <= done[stretch].sum() <= may + 1e-6
