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


def test_the_verdict_names_cost_range_risk_and_error(demo: tuple[Path, dict[str, Any]]) -> None:
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
    command = [sys.executable, "-m", "measure.cli", "plan", str(run), "--out", str(tmp_path), "--json", "--no-pdf"]
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


def test_the_bills_of_the_first_month_on_paper(demo: tuple[Path, dict[str, Any]]) -> None:
    """The example log by hand: 8,819 requests with 18,059,974 tokens in and 245,896 out between 18:17:03.97996 and
    19:14:19.928016, which is 3,435.948056 s. A month has 730 h = 2,628,000 s, so the log's rate around the clock gives
    18,059,974 * 2,628,000 / 3,435.948056 = 13,813.2506... million tokens in and 188.0746... million out.
    Groq bills 0.075 and 0.30 USD per million: 1,035.99 + 56.42 USD.
    Rent: the paid machine-hours of hourly.csv's 168 hours, times 730 / 168 weeks in a month, times the offer's rate.
    """
    run, verdict = demo
    with (run / "plan" / "costs.csv").open(newline="", encoding="utf-8") as file:
        first = [row for row in csv.DictReader(file) if row["month"] == "1"]
    months_per_log = Decimal(2_628_000) / Decimal("3435.948056")
    for item, tokens, usd_per_mtok in (("input tokens", 18_059_974, "0.075"), ("output tokens", 245_896, "0.30")):
        row = next(r for r in first if r["option"] == "groq/openai/gpt-oss-20b" and r["item"] == item)
        wanted = Decimal(tokens) * months_per_log / 1_000_000 * Decimal(usd_per_mtok)
        assert float(row["cash_usd"]) == pytest.approx(float(wanted), abs=0.005)

    rented = [option["id"] for option in verdict["options"] if option["kind"] == "rent"]
    with (run / "plan" / "hourly.csv").open(newline="", encoding="utf-8") as file:
        hours = list(csv.DictReader(file))
    for offer in rented:
        rent = next(r for r in first if r["option"] == offer and r["category"] == "rent")
        paid = sum(int(hour["paid_replicas"]) for hour in hours if hour["option"] == offer)
        wanted = Decimal(paid) * 730 / 168 * Decimal(rent["unit_price_usd"])
        assert float(rent["cash_usd"]) == pytest.approx(float(wanted), abs=0.05)
