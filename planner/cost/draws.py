"""Alternative worlds: every assumption as one value per world, so a whole analysis is one vectorised evaluation."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from planner.ranges import Assumption

Array = NDArray[np.floating[Any]]

_CHUNK_WORLDS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Draws:
    """`worlds` alternative worlds; `values[name]` holds that assumption in each of them, shape (worlds,).

    `paths[name]` holds what is drawn month by month, shape (worlds, horizon); a path that is missing is 1 throughout.
    """

    worlds: int
    values: Mapping[str, Array]
    paths: Mapping[str, Array] = field(default_factory=dict)

    def column(self, name: str) -> Array:
        """The values of one assumption as a column, shape (worlds, 1), to be broadcast over months."""
        return self.values[name][:, np.newaxis]


def draws_from(rows: Sequence[Mapping[str, float]]) -> Draws:
    """Worlds given one by one; all rows hold the same names."""
    return Draws(
        worlds=len(rows), values={name: np.array([row[name] for row in rows], dtype=float) for name in rows[0]}
    )


def mid_values(assumptions: Iterable[Assumption]) -> dict[str, float]:
    """The mid of every assumption: the world that the headline describes."""
    return {assumption.name: assumption.value.mid for assumption in assumptions}


def one_at_a_time(assumptions: Sequence[Assumption]) -> tuple[tuple[str, ...], Draws]:
    """The mid world, then for every uncertain assumption its low and its high world with all others at mid.

    Returns the names of the uncertain assumptions; worlds 1 + 2i and 2 + 2i are the low and high of name i.
    """
    mid = mid_values(assumptions)
    uncertain = [a for a in assumptions if a.value.low < a.value.high]
    rows = [mid]
    for assumption in uncertain:
        rows += [mid | {assumption.name: assumption.value.low}, mid | {assumption.name: assumption.value.high}]
    return tuple(a.name for a in uncertain), draws_from(rows)


def each_at(draws: Draws, name: str, values: ArrayLike) -> Draws:
    """Every world once for each of its `values` of the assumption `name`, world by world.

    `values` has the shape (worlds, n), or (n,) where all worlds get the same; the result holds worlds * n worlds.
    """
    points = np.asarray(values, dtype=float)
    points = np.broadcast_to(points, (draws.worlds, points.shape[-1]))
    repeated: dict[str, Array] = {key: np.repeat(column, points.shape[1]) for key, column in draws.values.items()}
    repeated[name] = points.ravel()
    paths: dict[str, Array] = {key: np.repeat(path, points.shape[1], axis=0) for key, path in draws.paths.items()}
    return Draws(worlds=points.size, values=repeated, paths=paths)


def chunks(draws: Draws) -> Iterator[Draws]:
    """The same worlds a thousand at a time: that much of a schedule stays in the processor's cache."""
    for start in range(0, draws.worlds, _CHUNK_WORLDS):
        yield worlds_of(draws, slice(start, start + _CHUNK_WORLDS))


def worlds_of(draws: Draws, part: slice) -> Draws:
    """Some of the worlds."""
    return Draws(
        worlds=len(range(*part.indices(draws.worlds))),
        values={name: column[part] for name, column in draws.values.items()},
        paths={name: path[part] for name, path in draws.paths.items()},
    )
