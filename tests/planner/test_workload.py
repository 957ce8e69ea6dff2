"""Summaries by hand, and what changing the rate keeps."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from planner.errors import InputError
from planner.workload import Workload, at_rate, flat_week, servegen_week, summarise_workload
from planner.workload_commands import register


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
