"""The first README command, run for real once: a live measurement, a verdict, and the same bytes when planned again."""

import csv
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The run directory and the JSON of `breakeven demo --json`."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "measure.cli", "demo", "--out", "run", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=600)
    assert done.returncode == 0, done.stderr
    return folder / "run", json.loads(done.stdout)


def test_every_request_is_kept_and_the_profile_follows_from_the_records(demo: tuple[Path, dict[str, Any]]) -> None:
    run, _ = demo
    requests = [json.loads(line) for line in (run / "requests.jsonl").read_text().splitlines()]
    assert len(requests) > 20
    profile = (run / "profile.json").read_bytes()
    assert json.loads(profile)["provenance"]["is_synthetic"] is True
    command = [sys.executable, "-m", "measure.cli", "profile", str(run)]
    subprocess.run(command, check=True, capture_output=True)
    assert (run / "profile.json").read_bytes() == profile


def test_the_verdict_names_what_the_issue_is_about(demo: tuple[Path, dict[str, Any]]) -> None:
    _, verdict = demo
    kinds = [option["kind"] for option in verdict["options"]]
    assert kinds.count("api") >= 5
    text = verdict["verdict"]
    assert "random weights" in text
    assert "breakeven measure" in text
    if {"rent", "own"} & set(kinds):
        assert verdict["break_even"] is not None
        assert len(verdict["sensitivity"]) >= 3
    else:  # a machine too slow for the service level must be told so
        assert {excluded["kind"] for excluded in verdict["excluded"]} >= {"rent", "own"}


def test_planning_the_same_directory_again_gives_the_same_bytes(
    demo: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    run, verdict = demo
    command = [sys.executable, "-m", "measure.cli", "plan", str(run), "--out", str(tmp_path), "--json"]
    again = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(again.stdout) == verdict
    first = {file.name: file.read_bytes() for file in (run / "plan").iterdir()}
    second = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert {"verdict.json", "costs.csv", "assumptions.csv", "report.html"} <= set(first)
    assert first == second


def test_the_lines_of_the_cost_file_add_up_to_the_verdict(demo: tuple[Path, dict[str, Any]]) -> None:
    run, verdict = demo
    with (run / "plan" / "costs.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for option in verdict["options"]:
        mine = [row for row in rows if row["option"] == option["id"] and row["option_kind"] == option["kind"]]
        cash = sum((Decimal(row["cash_usd"]) for row in mine), Decimal(0))
        pnl = sum((Decimal(row["pnl_usd"]) for row in mine), Decimal(0))
        assert float(cash) == pytest.approx(option["cash_total_usd"], abs=0.01)
        assert float(pnl) == pytest.approx(option["pnl_total_usd"], abs=0.01)
        assert float(cash) == pytest.approx(float(pnl), abs=0.01)
