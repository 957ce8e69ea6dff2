"""`breakeven prices` as a user types it."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from planner.errors import InputError, PriceError
from pricing.commands import register

run = CliRunner()


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    register(app)
    return app


@pytest.mark.parametrize(
    ("kind", "key", "at_least"), [("api", "models", 1_500), ("rental", "rentals", 30), ("purchase", "purchases", 7)]
)
def test_list_as_json_is_one_object(app: typer.Typer, kind: str, key: str, at_least: int) -> None:
    result = run.invoke(app, ["prices", "list", kind, "--json"])
    assert result.exit_code == 0
    assert len(json.loads(result.stdout)[key]) >= at_least
    assert result.stderr == ""


def test_list_finds_by_name(app: typer.Typer) -> None:
    result = run.invoke(app, ["prices", "list", "api", "--find", "gpt-oss-20b"])
    assert "groq/openai/gpt-oss-20b" in result.stdout
    assert "claude" not in result.stdout
    assert "placeholder" in run.invoke(app, ["prices", "list", "assumptions"]).stdout
    assert "cpu-1p-8c" in run.invoke(app, ["prices", "list", "purchase"]).stdout
    assert "nebius-h100-1-spot" in run.invoke(app, ["prices", "list", "rental"]).stdout


def test_show_tells_now_and_the_announced_change(app: typer.Typer) -> None:
    result = run.invoke(app, ["prices", "show", "google/gemini-3.8-flash", "--at", "2026-11-20", "--json"])
    told = json.loads(result.stdout)
    rates = {when: {row["kind"]: row["usd_per_mtok"] for row in told[when]["rows"]} for when in ("now", "next")}
    assert rates == {
        "now": {"input": "0.75", "cached input": "0.075", "output": "3.75"},
        "next": {"input": "1.5", "cached input": "0.15", "output": "7.5"},
    }
    text = run.invoke(app, ["prices", "show", "google/gemini-3.8-flash", "--at", "2026-11-20"]).stdout
    assert "announced change on 2027-01-01" in text
    assert "https://ai.google.dev/gemini-api/docs/pricing" in text


def test_show_peak_hours_and_tiers(app: typer.Typer) -> None:
    text = run.invoke(app, ["prices", "show", "deepseek/deepseek-v4-flash"]).stdout
    assert "01:00-04:00 UTC" in text
    batch = run.invoke(app, ["prices", "show", "openai/gpt-6-luna", "--tier", "batch", "--json"])
    assert json.loads(batch.stdout)["now"]["rows"][0]["usd_per_mtok"] == "0.05"


def test_show_with_own_prices_says_who_set_them(app: typer.Typer, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        '[[rate]]\nmodel = "openai/gpt-6-luna"\nusd_per_mtok = { output = 0.4 }\n'
        'source = "Contract 4711"\nas_of = 2026-11-01\n',
        "utf-8",
    )
    text = run.invoke(app, ["prices", "show", "openai/gpt-6-luna", "--own", str(own)]).stdout
    assert "organisation: Contract 4711; sets output; no address given; as of 2026-11-01" in text
    assert "library: genai-prices 0.2.3" in text


def test_bad_input_is_one_sentence(app: typer.Typer) -> None:
    assert isinstance(run.invoke(app, ["prices", "show", "openai/gpt-6-lunaa"]).exception, PriceError)
    assert isinstance(
        run.invoke(app, ["prices", "show", "openai/gpt-6-luna", "--at", "tomorrow"]).exception, InputError
    )
