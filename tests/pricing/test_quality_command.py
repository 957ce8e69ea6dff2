"""Evaluation results from the command line; the interval of 80 of 100 is in the literature."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from planner.errors import InputError
from pricing.commands import register

LEADERBOARD = Path(__file__).parent / "data" / "leaderboard.yml"


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    register(app)
    return app


def test_csv_against_a_minimum_and_a_price(app: typer.Typer, tmp_path: Path) -> None:
    """80 of 100: 0.711 to 0.867, so 0.02 USD a task is 0.025 USD a passed one, from 0.0231 to 0.0281."""
    path = tmp_path / "mine.csv"
    path.write_text("model,variant,suite,passed,total\nllama,q4,tickets,80,100\nllama,,tickets,99,100\n", "utf-8")
    command = ["prices", "quality", str(path), "--minimum", "0.9", "--usd-per-task", "0.02", "--json"]
    told = json.loads(CliRunner().invoke(app, command).stdout)["results"]
    assert [(row["variant"], row["suitability"]) for row in told] == [
        ("q4", "below the minimum"),
        ("", "reaches the minimum"),
    ]
    assert told[0]["pass_rate_frac"] == pytest.approx({"low": 0.711, "mid": 0.8, "high": 0.867}, abs=5e-4)
    assert told[0]["usd_per_passed_task"] == pytest.approx({"low": 0.0231, "mid": 0.025, "high": 0.0281}, abs=5e-5)
    assert "80 of 100" in CliRunner().invoke(app, command[:-1]).stdout


def test_every_format_is_reachable(app: typer.Typer, tmp_path: Path) -> None:
    run = CliRunner()
    assert (
        "Gemini 2.0 Pro"
        in run.invoke(app, ["prices", "quality", str(LEADERBOARD), "--suite", "polyglot", "--json"]).stdout
    )
    promptfoo, harness = tmp_path / "p.json", tmp_path / "h.json"
    promptfoo.write_text(json.dumps({"results": {"results": [{"provider": "openai:x", "success": True}]}}), "utf-8")
    harness.write_text(
        json.dumps(
            {"model_name": "m", "results": {"gsm8k": {"acc,none": 0.5}}, "n-samples": {"gsm8k": {"effective": 4}}}
        ),
        "utf-8",
    )
    first = json.loads(run.invoke(app, ["prices", "quality", str(promptfoo), "--from", "promptfoo", "--json"]).stdout)
    assert (first["results"][0]["suite"], first["results"][0]["usd_per_passed_task"]) == ("p", None)
    second = json.loads(run.invoke(app, ["prices", "quality", str(harness), "--from", "lm-eval", "--json"]).stdout)
    assert (second["results"][0]["passed"], second["results"][0]["total"]) == (2, 4)


@pytest.mark.parametrize(("name", "said"), [("a.json", "say --from promptfoo"), ("a.txt", "cannot tell the format")])
def test_an_unclear_format_is_asked_for(app: typer.Typer, name: str, said: str) -> None:
    failed = CliRunner().invoke(app, ["prices", "quality", name]).exception
    assert isinstance(failed, InputError)
    assert said in str(failed)
