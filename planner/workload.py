"""Demand: the requests of a log, and how their rate varies over the hours of a week."""

import dataclasses
import math
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from planner.distribution import Distribution, summarise
from planner.errors import InputError
from planner.units import HOURS_PER_DAY, HOURS_PER_WEEK, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

BURST_REQUESTS = 30_000
"""Requests that a fleet is sized on: 30,000 hold the 99.9th percentile of a latency with 30 beyond it."""

LONG_LOG_S = 2 * SECONDS_PER_HOUR
DAYS_PER_WEEK = HOURS_PER_WEEK / HOURS_PER_DAY


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
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


def burst_sample(workload: Workload, *, max_requests: int = BURST_REQUESTS) -> Workload:
    """The bursts within the hours of a log, without its days and nights: what sizing a fleet for one hour needs.

    A log of at most two hours and `max_requests` is returned as it is. Of a longer one, hours evenly spread over it
    (three or more, as many as `max_requests` holds) are put one after the other, each replayed at the log's mean rate;
    of an hour with more than twice its share, the beginning. How the hours differ is the week shape's business.
    """
    if workload.span_s <= LONG_LOG_S and workload.requests <= max_requests:
        return workload
    window_s = min(SECONDS_PER_HOUR, workload.span_s / 3)
    edges = np.searchsorted(workload.arrival_s, np.arange(int(workload.span_s / window_s) + 1) * window_s)
    filled = np.flatnonzero(np.diff(edges) > 0)
    mean_count = float(np.diff(edges)[filled].mean())
    take = int(np.clip(max_requests / mean_count, 3, filled.size)) if filled.size > 3 else filled.size
    chosen = filled[np.linspace(0, filled.size - 1, take).round().astype(np.int64)]
    per_window = max(2 * max_requests // take, 1)
    kept, arrivals, end_s = [], [], 0.0
    for window in chosen:
        first, last = int(edges[window]), int(min(edges[window + 1], edges[window] + per_window))
        from_s = window * window_s
        is_cut = last < edges[window + 1]
        to_s = float(workload.arrival_s[last]) if is_cut else from_s + window_s
        lasts_s = (last - first) / workload.requests_per_s
        stretch = lasts_s / max(to_s - from_s, 1e-9)
        kept.append(np.arange(first, last))
        arrivals.append(end_s + (workload.arrival_s[first:last] - from_s) * stretch)
        end_s += lasts_s
    index = np.concatenate(kept)
    return dataclasses.replace(
        workload,
        arrival_s=np.concatenate(arrivals),
        input_tokens=workload.input_tokens[index],
        output_tokens=workload.output_tokens[index],
        span_s=end_s,
    )


def week_of(workload: Workload) -> WeekShape:
    """The mean week of the log itself, by the log's own clock.

    Raises `InputError` for a log of less than seven days or without calendar times: one hour says nothing about days.
    """
    days = workload.span_s / SECONDS_PER_HOUR / HOURS_PER_DAY
    if days < DAYS_PER_WEEK or workload.starts_at is None:
        reason = "no calendar times" if workload.starts_at is None else f"only {days:.2g} days"
        raise InputError(
            f"the log {workload.name} has {reason}, which shows no week; take a week shape such as servegen or flat"
        )
    start = datetime.fromisoformat(workload.starts_at[:26].rstrip("Z"))
    offset_s = start.weekday() * HOURS_PER_DAY * SECONDS_PER_HOUR
    offset_s += (start - start.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()
    hours = int(HOURS_PER_WEEK)
    hour = ((workload.arrival_s + offset_s) / SECONDS_PER_HOUR).astype(np.int64)
    requests = np.bincount(hour % hours, minlength=hours).astype(np.float64)
    edges = offset_s / SECONDS_PER_HOUR, (offset_s + workload.span_s) / SECONDS_PER_HOUR
    grid = np.arange(int(edges[0]), math.ceil(edges[1]))
    observed = np.minimum(grid + 1, edges[1]) - np.maximum(grid, edges[0])
    rate = requests / np.bincount(grid % hours, weights=observed, minlength=hours)
    weights = rate / rate.mean()
    return WeekShape(name=workload.name, weights=tuple(weights.tolist()), source=workload.source)


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
