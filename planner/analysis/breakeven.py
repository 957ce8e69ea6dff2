"""At which volume self-hosting costs what the API costs: all crossings, because whole machines make a staircase."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.cost.draws import Draws

Array = NDArray[np.floating[Any]]
Difference = Callable[[Draws], Callable[[Array], Array]]
"""Given worlds, a function from volumes [requests/day], shape (worlds, n), to self-hosting minus API [USD/month]."""

VOLUME = "requests_per_day"
GRID_POINTS = 400
WORLD_GRID_POINTS = 100
_JUST_ABOVE = 1e-8  # more than the tolerance with which a rate still fits on a step
_HALVINGS = 40
_WORLD_HALVINGS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """A volume [requests/day in the first month] at which the cheaper side changes, seen from below."""

    requests_per_day: float
    self_host_cheaper_above: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosestApproach:
    """Where self-hosting costs the fewest times the API within the searched volumes, every assumption at mid."""

    requests_per_day: float
    cost_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEven:
    """All crossings between `searched_from` and `searched_to` requests/day, ascending.

    `crossings` belong to the mid of every assumption. `low` and `high` span the crossings over all worlds in which one
    assumption is at its low or high; `high` is `None` where in some world self-hosting is at no volume cheaper up to
    `searched_to`, `low` is `None` where it is in no world. `closest` is given only where there is no crossing and the
    API is always cheaper.
    """

    searched_from: float
    searched_to: float
    crossings: tuple[Crossing, ...]
    always_cheaper: bool
    low: float | None
    high: float | None
    worlds: int
    worlds_without: int
    closest: ClosestApproach | None


def crossings(difference: Difference, world: Draws, volumes: Array) -> tuple[Crossing, ...]:
    """The sign changes of `difference` in one world along ascending `volumes`, each found to about 1e-12 of itself.

    Two crossings closer together than neighbouring volumes cancel and are not seen; pass the edges of the staircase
    (both sides of each) among the volumes to see those at the steps.
    """
    at = difference(world)
    cheaper = (at(volumes[np.newaxis, :]) <= 0.0)[0]
    changes = np.flatnonzero(cheaper[1:] != cheaper[:-1])
    if changes.size == 0:
        return ()
    low, high = volumes[np.newaxis, changes], volumes[np.newaxis, changes + 1]
    found = halved(at, low, high, cheaper[np.newaxis, changes], _HALVINGS)[0]
    return tuple(
        Crossing(requests_per_day=float(volume), self_host_cheaper_above=bool(above))
        for volume, above in zip(found, cheaper[changes + 1], strict=True)
    )


def break_even(difference: Difference, mid: Draws, worlds: Draws, volumes: Array, edges: Array) -> BreakEven:
    """Search `volumes` (ascending, > 0) for crossings, in the mid world also at the `edges` of the staircase.

    The other worlds are searched on a coarser grid: a window in which the other side is cheaper and that is narrower
    than the ratio of two of its points (17 % over 7 decades) may stay unseen there.
    """
    inside = edges[(edges > volumes[0]) & (edges < volumes[-1])]
    fine = np.unique(np.concatenate([volumes, inside, inside * (1 + _JUST_ABOVE)]))
    found = crossings(difference, mid, fine)
    coarse = np.geomspace(volumes[0], volumes[-1], WORLD_GRID_POINTS)
    at = difference(worlds)
    cheaper = at(np.broadcast_to(coarse, (worlds.worlds, coarse.size))) <= 0.0
    changes = cheaper[:, 1:] != cheaper[:, :-1]
    first, last = changes.argmax(axis=1), changes.shape[1] - 1 - changes[:, ::-1].argmax(axis=1)
    ends = np.stack([first, last], axis=1)
    located = halved(at, coarse[ends], coarse[ends + 1], np.take_along_axis(cheaper, ends, axis=1), _WORLD_HALVINGS)
    spread = [c.requests_per_day for c in found] + located[changes.any(axis=1)].ravel().tolist()
    never = ~cheaper.any(axis=1)
    return BreakEven(
        searched_from=float(volumes[0]),
        searched_to=float(volumes[-1]),
        crossings=found,
        always_cheaper=bool(not found and cheaper[0].all()),
        low=min(spread, default=None),
        high=None if never.any() or not spread else max(spread),
        worlds=worlds.worlds,
        worlds_without=int(never.sum()),
        closest=None,
    )


def halved(
    at: Callable[[Array], Array], low: Array, high: Array, cheaper_below: NDArray[np.bool_], halvings: int
) -> Array:
    """Bisect all brackets at once; a jump is located like a root."""
    for _ in range(halvings):
        middle = np.sqrt(low * high)
        same = (at(middle) <= 0.0) == cheaper_below
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return high


def search_volumes(planned_requests_per_day: float) -> Array:
    """Where break-even is looked for: a thousandth to a thousand times the plan, and at least up to 10 M a day."""
    top = max(planned_requests_per_day * 1e3, 1e7)
    return np.asarray(np.geomspace(planned_requests_per_day / 1e3, top, GRID_POINTS))


def cheapest_of(costs: Sequence[Array]) -> Array:
    """The least of several options in each world."""
    return np.asarray(np.minimum.reduce(list(costs)))
