"""Summaries by hand, and what changing the rate keeps."""

import dataclasses
import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from planner.commands.workload import register
from planner.errors import InputError
from planner.workload import (
    Workload,
    at_rate,
    burst_sample,
    flat_week,
    servegen_week,
    summarise_workload,
    week_of,
)


def _workload(arrival_s: list[float]) -> Workload:
    n = len(arrival_s)
    return Workload(
        name="hand",
        arrival_s=np.array(arrival_s),
        input_tokens=np.arange(1, n + 1, dtype=np.int64),
        output_tokens=np.full(n, 7, dtype=np.int64),
        span_s=max(arrival_s),
        starts_at=None,
        source="by hand",
    )


def test_peak_minute_by_hand() -> None:
    # 90 requests in the first minute, 30 in the second: 90 over a mean of 60
    workload = _workload([i * 0.6 for i in range(90)] + [60 + i * 1.9 for i in range(30)])
    summary = summarise_workload(workload)
    assert summary.peak_to_mean_1min == 1.5
    assert summary.requests == 120
    assert summary.input_tokens.mean == 60.5
    assert summary.output_tokens.max == 7


def test_a_log_under_a_minute_has_no_peak_minute() -> None:
    assert summarise_workload(_workload([0.0, 30.0])).peak_to_mean_1min is None


def test_the_rate_changes_and_the_pattern_stays() -> None:
    workload = _workload([0.0, 1.0, 4.0, 10.0])
    faster = at_rate(workload, 4.0)
    assert faster.requests_per_s == pytest.approx(4.0)
    assert faster.arrival_s == pytest.approx([0.0, 0.1, 0.4, 1.0])
    assert at_rate(faster, workload.requests_per_s).arrival_s == pytest.approx(workload.arrival_s)
    with pytest.raises(ValueError, match="above 0"):
        at_rate(workload, 0.0)


def test_weeks_average_one() -> None:
    assert flat_week().weights == (1.0,) * 168
    week = servegen_week()
    assert np.mean(week.weights) == pytest.approx(1.0, abs=1e-12)
    # from the source file by hand: the extreme hours are 0.53 and 1.70 of the mean
    assert (round(min(week.weights), 2), round(max(week.weights), 2)) == (0.53, 1.70)


def _days_and_nights(days: int, by_day: int, by_night: int) -> Workload:
    """Even arrivals, `by_day` an hour from 8 to 20 h and `by_night` an hour else, from a Monday's midnight on."""
    starts = []
    for hour in range(24 * days):
        count = by_day if 8 <= hour % 24 < 20 else by_night
        starts.append(hour * 3600.0 + np.arange(count) * 3600.0 / count)
    arrival_s = np.concatenate(starts)
    n = arrival_s.size
    return Workload(
        name="days",
        arrival_s=arrival_s,
        input_tokens=np.full(n, 10, dtype=np.int64),
        output_tokens=np.full(n, 10, dtype=np.int64),
        span_s=days * 86400.0,
        starts_at="2026-11-16T00:00:00",
        source="by hand",
    )


def test_a_short_log_is_its_own_burst_sample() -> None:
    workload = _workload([0.0, 1.0, 4.0])
    assert burst_sample(workload) is workload


def test_days_and_nights_are_no_bursts() -> None:
    """Even arrivals within every hour: after the sample takes the hours' levels out, every gap is the same."""
    workload = _days_and_nights(10, 300, 60)
    sample = burst_sample(workload, max_requests=5_000)
    assert 4_000 <= sample.requests <= 6_000
    assert sample.requests_per_s == pytest.approx(workload.requests_per_s)
    assert np.diff(sample.arrival_s) == pytest.approx(np.full(sample.requests - 1, 1 / workload.requests_per_s))


def test_of_an_hour_with_too_many_requests_the_beginning_is_taken() -> None:
    workload = _days_and_nights(1, 40_000, 40_000)
    sample = burst_sample(workload, max_requests=900)
    assert sample.requests == 3 * 2 * 300
    assert np.diff(sample.arrival_s) == pytest.approx(np.full(1799, 1 / workload.requests_per_s))


def test_the_week_of_a_log_by_hand() -> None:
    """Day hours carry 300 and night hours 60 requests, as many of each: 300 / 180 and 60 / 180 of the mean."""
    week = week_of(_days_and_nights(14, 300, 60))
    assert week.weights[12] == pytest.approx(300 / 180)
    assert week.weights[24 + 3] == pytest.approx(60 / 180)


def test_one_hour_is_no_week() -> None:
    with pytest.raises(InputError, match=r"only 0\.00035 days"):
        week_of(_dated(_workload([0.0, 30.0])))
    with pytest.raises(InputError, match="no calendar times"):
        week_of(_workload([0.0, 8 * 86400.0]))


def _dated(workload: Workload) -> Workload:
    return dataclasses.replace(workload, starts_at="2026-11-16T00:00:00")


def test_the_command_prints_one_json_object(azure_log) -> None:  # type: ignore[no-untyped-def]
    app = typer.Typer()
    register(app)
    app.command(name="other")(lambda: None)
    result = CliRunner().invoke(app, ["workload", str(azure_log), "--json"])
    value = json.loads(result.stdout)
    assert value["requests"] == 8819
    assert set(value["input_tokens"]) == {"count", "mean", "p50", "p95", "p99", "max"}
    assert value["bad_rows"] == []


def test_bad_rows_are_printed_before_the_command_fails(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "log.csv"
    path.write_text("timestamp,input_tokens,output_tokens\n1,10,1\n2,x,1\n3,10,1\n")
    app = typer.Typer()
    register(app)
    app.command(name="other")(lambda: None)
    result = CliRunner().invoke(app, ["workload", str(path), "--json"])
    assert json.loads(result.stdout)["bad_rows"][0]["line"] == 3
    assert isinstance(result.exception, InputError)
    assert CliRunner().invoke(app, ["workload", str(path), "--allow-bad-rows", "1"]).exit_code == 0
