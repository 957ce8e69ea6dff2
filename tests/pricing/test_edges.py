"""Corners that the other tests do not reach: rarely met refusals, and the making of the vendored second source."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from planner.errors import InputError, PriceError
from pricing import load, second_source
from pricing.check import check_model, is_priced
from pricing.commands import register
from pricing.hardware import purchase_for, smallest_rental_for
from pricing.licences import IntendedUse, LicenceVerdict, check_licence
from pricing.lockfile import read_lock
from pricing.quality_files import read_aider, read_lm_eval, read_results_csv
from pricing.rates import RateQuery, TierRates, _refuse_unpriced, library_rates
from pricing.types import TokenKind

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_a_published_price_of_zero_is_refused() -> None:
    free = TierRates(
        above_input_tokens=0,
        up_to_input_tokens=None,
        usd_per_mtok={TokenKind.INPUT: Decimal(0), TokenKind.OUTPUT: Decimal(0)},
        own=frozenset({TokenKind.INPUT, TokenKind.OUTPUT}),
    )
    with pytest.raises(PriceError, match=r"listed at 0 USD .* no price to plan with"):
        _refuse_unpriced([free], "somebody/free")


def test_library_does_not_move_with_the_callers_zone() -> None:
    query = RateQuery(model="google/gemini-3.8-flash", at=datetime(2026, 12, 31, 23, 59, 59))
    assert library_rates(query).tiers[0].usd_per_mtok[TokenKind.INPUT] == Decimal("0.75")


def test_cards_that_nobody_sells_or_rents() -> None:
    with pytest.raises(PriceError, match="no rental offer with Intel Arc Pro B60"):
        smallest_rental_for(1, 1.0, "Intel Arc Pro B60")
    with pytest.raises(PriceError, match="no purchase offer with NVIDIA T4"):
        purchase_for("Tesla T4")


def test_a_model_without_token_price_is_not_compared() -> None:
    assert not is_priced("openai/whisper-1", NOON)
    with pytest.raises(PriceError, match="no price per token"):
        check_model("openai/whisper-1", NOON, second_source.read_second_source())


def test_vendored_copy_is_made_from_a_full_map(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full = {
        "gpt-6-luna": {"input_cost_per_token": 1e-07, "output_cost_per_token": 5e-07, "mode": "chat", "source": "x"},
        "gpt-nobody": {"input_cost_per_token": 1e-07},
        "groq/openai/gpt-oss-20b": {"output_cost_per_image": 1.0},
    }
    path = tmp_path / "full.json"
    path.write_text(json.dumps(full), "utf-8")
    second_source.main([str(path), "a map", "2026-11-20"])
    made = json.loads(capsys.readouterr().out)
    assert made["models"] == {
        "gpt-6-luna": {"input_cost_per_token": 1e-07, "output_cost_per_token": 5e-07, "source": "x"}
    }
    assert (made["name"], made["copied_on"]) == ("a map", "2026-11-20")
    assert "MIT" in made["licence"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            ("price_usd = { low = 1, mid = 2, high = 3 }", "price_usd = { low = 0, mid = 2, high = 3 }"),
            "must be above 0",
        ),
        (
            ("loaded_w = { low = 20, mid = 20, high = 20 }", "loaded_w = { low = 1, mid = 1, high = 1 }"),
            "more idle than",
        ),
        (
            ("residual_frac = { low = 0, mid = 0, high = 0 }", "residual_frac = { low = 0, mid = 0, high = 2 }"),
            "between 0",
        ),
    ],
)
def test_impossible_purchase_rows(
    change: tuple[str, str], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = (
        '[[purchase]]\nid = "x"\nname = "n"\ncpu_cores = 1\nram_gib = 1\naccelerators = 0\n'
        "price_usd = { low = 1, mid = 2, high = 3 }\nidle_w = { low = 10, mid = 10, high = 10 }\n"
        "loaded_w = { low = 20, mid = 20, high = 20 }\nlife_years = { low = 3, mid = 4, high = 5 }\n"
        'residual_frac = { low = 0, mid = 0, high = 0 }\nsource_url = "https://x"\nchecked_on = 2026-11-20\n'
    )
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(load, "files", lambda _: tmp_path)
    (tmp_path / "data" / "purchases.toml").write_text(row, "utf-8")
    assert len(load.load_purchases.__wrapped__()) == 1
    (tmp_path / "data" / "purchases.toml").write_text(row.replace(*change), "utf-8")
    with pytest.raises(PriceError, match=complaint):
        load.load_purchases.__wrapped__()
    (tmp_path / "data" / "purchases.toml").write_text(row + row, "utf-8")
    with pytest.raises(PriceError, match=r"row 2 \(x\): appears twice"):
        load.load_purchases.__wrapped__()


def test_a_licence_whose_text_was_read_needs_no_warning() -> None:
    mit = next(licence for licence in load.load_licences() if licence.id == "mit")
    read = replace(mit, from_text=True)
    result = check_licence("microsoft/phi-4", IntendedUse(redistributes=False), [read])
    assert result.verdict is LicenceVerdict.PASS
    assert [clause.about for clause in result.clauses] == ["passing the model on"]


def test_evaluation_files_of_other_makes(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    task = {"acc,none": 0.5}
    body = {
        "results": {"mmlu": task, "mmlu_law": task},
        "groups": {"mmlu": task},
        "n-samples": {"mmlu_law": {"effective": 4}},
    }
    path.write_text(json.dumps(body | {"config": {"model_args": {"model": "deepseek-v4-flash"}}}), "utf-8")
    (law,) = read_lm_eval(path)
    assert (law.model, law.suite, law.passed, law.as_of) == ("deepseek-v4-flash", "mmlu_law acc,none", 2, None)
    with pytest.raises(InputError, match="cannot read"):
        read_results_csv(tmp_path / "absent.csv")
    with pytest.raises(InputError, match="cannot read"):
        read_aider(tmp_path / "absent.yml", suite="s")


def test_lock_of_own_prices_for_this_month(tmp_path: Path) -> None:
    app = typer.Typer()
    register(app)
    own, lock = tmp_path / "own.toml", tmp_path / "lock.json"
    own.write_text(
        '[[discount]]\ntarget = "openai"\npercent = 50\nsource = "Contract 4711"\nas_of = 2026-11-01\n', "utf-8"
    )
    command = ["prices", "lock", "openai/gpt-6-luna", "--months", "1", "--own", str(own), "--out", str(lock)]
    assert "froze 1 models for 1 months" in CliRunner().invoke(app, command).stdout
    period = read_lock(lock).models[0].periods[0]
    assert period.days[0].day == 15
    assert period.days[0] >= date(2026, 11, 15)
    assert [source.layer for source in period.provenance] == ["library", "discount"]
    text = CliRunner().invoke(app, ["prices", "check", "--lock", str(lock)]).stdout
    assert "USD per million" in text
