"""Demand: the requests of a log, and how their rate varies over the hours of a week."""

import dataclasses
import math
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from planner.distribution import Distribution, summarise
from planner.errors import InputError
from planner.units import HOURS_PER_WEEK, SECONDS_PER_MINUTE


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


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadSummary:
    """What a log says about itself.

    `peak_to_mean_1min` is the fullest minute over the mean of all minutes, counted from the first arrival, the last one
    included as it is; `None` for a log shorter than a minute, which has none to compare.
    """

    requests: int
    span_s: float
    requests_per_s: float
    input_tokens: Distribution
    output_tokens: Distribution
    peak_to_mean_1min: float | None


def summarise_workload(workload: Workload) -> WorkloadSummary:
    """Counts, token percentiles and burstiness of a log. Raises `InputError` for a log without requests.

    120 requests in 2 minutes, 90 of them in the first, have a peak of 90 / 60 = 1.5 times the mean.
    """
    input_tokens, output_tokens = _token_counts(workload.input_tokens), _token_counts(workload.output_tokens)
    if input_tokens is None or output_tokens is None:
        raise InputError(f"the workload {workload.name} holds no request; give a log with at least one")
    peak = None
    if workload.span_s >= SECONDS_PER_MINUTE:
        counts = np.bincount((workload.arrival_s / SECONDS_PER_MINUTE).astype(np.int64))
        peak = float(counts.max() / counts.mean())
    return WorkloadSummary(
        requests=workload.requests,
        span_s=workload.span_s,
        requests_per_s=workload.requests_per_s,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        peak_to_mean_1min=peak,
    )


def _token_counts(tokens: NDArray[np.int64]) -> Distribution | None:
    return summarise(tokens.astype(np.float64))


def at_rate(workload: Workload, requests_per_s: float) -> Workload:
    """The same requests at another mean rate: time is stretched or compressed evenly, so the burst pattern stays.

    100 requests in 50 s at 4 requests/s become the same 100 requests in 25 s. Raises `ValueError` unless the rate is
    finite and above 0.
    """
    if not (math.isfinite(requests_per_s) and requests_per_s > 0):
        raise ValueError(f"a rate must be above 0 requests/s, got {requests_per_s}")
    stretch = workload.requests_per_s / requests_per_s
    return dataclasses.replace(workload, arrival_s=workload.arrival_s * stretch, span_s=workload.span_s * stretch)


def flat_week() -> WeekShape:
    """Every hour alike: what to assume when nothing is known, and the kindest case for owning."""
    return WeekShape(name="flat", weights=(1.0,) * int(HOURS_PER_WEEK), source="no shape assumed")


def servegen_week() -> WeekShape:
    """The mean week of a large hosted model, from 14 days of 10-minute rates; the file's header names the source.

    The weekday of its first hour is not documented and taken as Monday.
    """
    text = files("planner").joinpath("data/servegen_week.csv").read_text(encoding="utf-8")
    rows = [line.split(",") for line in text.splitlines() if line[:1].isdigit()]
    raw = [float(weight) for _, weight in rows]
    mean = math.fsum(raw) / len(raw)
    return WeekShape(
        name="servegen m-large",
        weights=tuple(weight / mean for weight in raw),
        source="ServeGen m-large, 14 days, github.com/alibaba/ServeGen f891d11 (Apache-2.0); shape only",
    )
