"""Work that may wait: batch-class requests moved out of the busy hours into the valleys of the week."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from planner.units import HOURS_PER_WEEK
from planner.workload import WeekShape

Floats = NDArray[np.float64]

_ROUNDS = 2_000
_SETTLED = 1e-9


@lru_cache(maxsize=32)
def deferred_week(shape: WeekShape, *, deferrable_frac: float, deadline_h: int) -> WeekShape:
    """The hours in which a week's work is done when a share of every hour's requests may wait `deadline_h` hours.

    The waiting share goes where it makes the week as even as it can be: the sum of the squared weights is the least
    possible, and with it the peak. No request is done before it is sent or more than `deadline_h` hours after, and the
    work of the week stays what it was. Each hour's share fills the lowest hours of its window up to one level, round
    after round until nothing moves; the problem is convex and its shares are independent, so this ends at the optimum.

    Two half-days at 1.5 and 0.5, a fifth of which may wait 12 hours: 0.3 of the first moves to the second, 1.2 and 0.8.
    Raises `ValueError` for a share outside 0 to 1 or a deadline outside 0 hours to a week.
    """
    hours = int(HOURS_PER_WEEK)
    if not 0 <= deferrable_frac <= 1 or not 0 <= deadline_h < hours:
        raise ValueError(
            f"a share lies in 0 to 1 and a deadline in 0 to 167 hours, got {deferrable_frac}, {deadline_h}"
        )
    if deferrable_frac == 0 or deadline_h == 0:
        return shape
    waiting = deferrable_frac * np.array(shape.weights)
    window = (np.arange(hours)[:, None] + np.arange(deadline_h + 1)) % hours
    moved = np.zeros((hours, deadline_h + 1))
    moved[:, 0] = waiting
    load = np.array(shape.weights)
    for _ in range(_ROUNDS):
        largest = 0.0
        for hour in range(hours):
            at = window[hour]
            others = load[at] - moved[hour]
            filled = _filled(others, float(waiting[hour]))
            largest = max(largest, float(np.abs(filled - moved[hour]).max()))
            load[at] = others + filled
            moved[hour] = filled
        if largest < _SETTLED:
            break
    weights = np.maximum(load, 0.0)
    weights *= hours / weights.sum()
    name = f"{shape.name}, {deferrable_frac:.0%} of it done within {deadline_h} h"
    return WeekShape(name=name, weights=tuple(weights.tolist()), source=shape.source)


def _filled(heights: Floats, amount: float) -> Floats:
    """How much of `amount` each place gets when it is poured over them: the lowest are raised to one level."""
    ordered = np.sort(heights)
    levels = (amount + np.cumsum(ordered)) / np.arange(1, ordered.size + 1)
    level = levels[np.flatnonzero(levels >= ordered)[-1]] if amount > 0 else -np.inf
    return np.maximum(level - heights, 0.0)
