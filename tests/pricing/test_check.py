"""The second source: what agrees, what differs and why, how old a figure is."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from planner.errors import InputError, PriceError
from pricing.api import DEFAULT_MODELS, api_models
from pricing.check import Age, Verdict, age_of, check_model, is_priced
from pricing.commands import register
from pricing.load import load_known_differences
from pricing.second_source import read_second_source
from pricing.types import TokenKind

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize("model", DEFAULT_MODELS)
def test_both_sources_agree_on_the_recommended_models(model: str) -> None:
    result = check_model(model, NOON, read_second_source())
    assert (result.verdict, result.differences) == (Verdict.AGREE, ())


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_every_model_that_both_know_agrees_or_the_difference_has_a_written_reason(provider: str) -> None:
    second = read_second_source()
    names = [f"{m.provider}/{m.id}" for m in api_models() if m.provider == provider]
    known = [name for name in names if second.rates_of(name) and is_priced(name, NOON)]
    results = [check_model(name, NOON, second) for name in known]
    assert len(results) > 13
    assert [r.model for r in results if r.verdict is Verdict.DISAGREE] == []
    explained = {r.model for r in results if r.verdict is Verdict.EXPLAINED}
    assert explained == {name for name in load_known_differences() if name.startswith(f"{provider}/")}


def test_a_disagreement_shows_both_numbers() -> None:
    result = check_model("together/meta-llama/Llama-3.3-70B-Instruct-Turbo", NOON, read_second_source())
    told = [(d.tier, d.kind, d.ours_usd_per_mtok, d.theirs_usd_per_mtok) for d in result.differences]
    assert told == [
        ("standard", TokenKind.INPUT, Decimal("0.88"), Decimal("1.04")),
        ("standard", TokenKind.OUTPUT, Decimal("0.88"), Decimal("1.04")),
    ]
    assert result.verdict is Verdict.DISAGREE
    assert any("withdrawn on 2026-10-22" in note for note in result.notes)


def test_unknown_to_the_second_source_is_said_and_no_agreement() -> None:
    assert check_model("arcee/trinity-large-thinking", NOON, read_second_source()).verdict is Verdict.UNKNOWN


def test_peak_hours_are_compared_at_their_peak_and_on_their_days() -> None:
    result = check_model("deepseek/deepseek-v4-flash", NOON, read_second_source())
    assert result.verdict is Verdict.AGREE
    assert not any("weekdays only" in note for note in result.notes)
    before = datetime(2026, 8, 20, tzinfo=UTC)  # peak hours were those of every day until 2026-08-23
    notes = check_model("deepseek/deepseek-v4-flash", before, read_second_source()).notes
    assert any("weekdays only" in note for note in notes)


@pytest.mark.parametrize(
    ("read_on", "badge"),
    [
        (date(2026, 11, 20), Age.GREEN),
        (date(2026, 10, 21), Age.GREEN),
        (date(2026, 10, 20), Age.AMBER),
        (date(2026, 8, 22), Age.AMBER),
        (date(2026, 8, 21), Age.RED),
        (None, Age.UNKNOWN),
    ],
)
def test_age_badge_at_30_and_90_days(read_on: date | None, badge: Age) -> None:
    assert age_of(read_on, date(2026, 11, 20))[0] is badge


def test_a_full_map_of_the_user_is_read_like_the_bundled_copy(tmp_path: Path) -> None:
    full = {
        "sample_spec": {"mode": "chat"},
        "gpt-6-luna": {
            "input_cost_per_token": 2e-07,
            "output_cost_per_token": 5e-07,
            "cache_read_input_token_cost": 1e-08,
            "cache_creation_input_token_cost": 1.25e-07,
        },
    }
    path = tmp_path / "map.json"
    path.write_text(json.dumps(full), "utf-8")
    result = check_model("openai/gpt-6-luna", NOON, read_second_source(path))
    first = result.differences[0]
    assert (first.kind, first.ours_usd_per_mtok, first.theirs_usd_per_mtok) == ("input", Decimal("0.1"), Decimal("0.2"))
    assert {d.above_input_tokens for d in result.differences[1:]} == {272_000}
    assert all(d.theirs_usd_per_mtok is None for d in result.differences[1:])


@pytest.mark.parametrize("text", ["not json", "[]", "{}", '{"a": {"mode": "chat"}}'])
def test_a_file_that_is_no_price_map(text: str, tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError, match="price map"):
        read_second_source(path)
    with pytest.raises(InputError, match="price map"):
        read_second_source(tmp_path / "absent.json")


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    register(app)
    return app


def test_command_tells_verdicts_and_ages(app: typer.Typer) -> None:
    told = json.loads(CliRunner().invoke(app, ["prices", "check", "--at", "2026-11-20", "--json"]).stdout)
    assert [m["verdict"] for m in told["models"]] == ["agree"] * len(DEFAULT_MODELS)
    assert told["second_source"]["copied_on"] == "2026-11-20"
    ours = {"rental", "purchase", "accelerators", "licences", "electricity", "assumptions"}
    assert {row["table"] for row in told["tables"]} == ours | {"API hosts", "API extras", "commitment offers"}
    text = CliRunner().invoke(app, ["prices", "check", "anthropic/claude-sonnet-4-5"]).stdout
    assert "explained difference" in text
    assert "reason: " in text


def test_command_over_everything_and_strict(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["prices", "check", "--all", "--at", "2026-11-20", "--strict", "--json"])
    assert isinstance(result.exception, PriceError)
    assert "together/meta-llama/Llama-3.3-70B-Instruct-Turbo" in str(result.exception)
    verdicts = [m["verdict"] for m in json.loads(result.stdout)["models"]]
    assert len(verdicts) > 400
    assert verdicts.count("sources disagree") < len(verdicts) / 4
