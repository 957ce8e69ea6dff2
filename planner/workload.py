"""Demand: the requests of a log, and how their rate varies over the hours of a week."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.units import HOURS_PER_WEEK


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Workload:
    """Requests in order of arrival; the three arrays have one element per request.

    `arrival_s` starts at 0 and never falls; `span_s` is the time that the log observed (> 0, last arrival at the most,
    plus the gap that follows it where it is known). `starts_at` is the first arrival as written in the log (ISO 8601,
    log's own clock) or `None`.
    """

    name: str
    arrival_s: NDArray[np.float64]
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    span_s: float
    starts_at: str | None
    source: str

    @property
    def requests(self) -> int:
        return int(self.arrival_s.size)

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.span_s


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekShape:
    """Relative request rate of each hour of the week, Monday 00:00 first; 168 weights >= 0 whose mean is 1."""

    name: str
    weights: tuple[float, ...]
    source: str

    def __post_init__(self) -> None:
        if len(self.weights) != int(HOURS_PER_WEEK) or min(self.weights) < 0:
            raise ValueError(f"a week shape needs 168 weights >= 0, got {len(self.weights)}")
        mean = sum(self.weights) / HOURS_PER_WEEK
        if abs(mean - 1.0) > 1e-6:
            raise ValueError(f"the weights of a week shape must average 1, got {mean}")
