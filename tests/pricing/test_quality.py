"""Pass rates against hand-worked and tabulated intervals; evaluation files as the tools write them."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from planner.errors import InputError
from pricing.api import api_bill
from pricing.quality import (
    QualityResult,
    Suitability,
    pass_rate,
    result_for,
    suitability,
    tasks_needed,
    usd_per_passed_task,
)
from pricing.quality_files import read_aider, read_lm_eval, read_promptfoo, read_results_csv
from pricing.types import RequestShape, ShapeCount


def result(passed: int, total: int, **more: Any) -> QualityResult:
    facts = {"model": "m", "variant": "", "suite": "s", "source": "test", "as_of": None}
    return QualityResult(passed=passed, total=total, **{**facts, **more})


@settings(deadline=None)
@given(st.integers(1, 2_000), st.data())
def test_interval_is_wilsons_as_another_library_has_it(total: int, data: st.DataObject) -> None:
    passed = data.draw(st.integers(0, total))
    rate = pass_rate(result(passed, total))
    other = binomtest(passed, total).proportion_ci(0.95, method="wilson")
    assert rate.low == pytest.approx(other.low, abs=1e-9)
    assert rate.high == pytest.approx(other.high, abs=1e-9)
    assert rate.mid == passed / total


def test_worked_interval_cost_and_sample_size() -> None:
    rate = pass_rate(result(80, 100))
    assert (round(rate.low, 3), rate.mid, round(rate.high, 3)) == (0.711, 0.8, 0.867)
    cost = usd_per_passed_task(0.02, result(80, 100))
    assert cost is not None
    assert (round(cost.low, 4), round(cost.mid, 4), round(cost.high, 4)) == (0.0231, 0.025, 0.0281)
    assert usd_per_passed_task(0.02, result(0, 10)) is None
    assert tasks_needed(0.80, 0.75) == 246
    assert tasks_needed(0.8, 0.8) is None


@pytest.mark.parametrize(
    ("passed", "total", "verdict"),
    [
        (80, 100, Suitability.REACHES),
        (8, 10, Suitability.UNDECIDED),
        (60, 100, Suitability.FAILS),
        (1, 3, Suitability.UNDECIDED),
    ],
)
def test_a_minimum_excludes_only_what_is_surely_below(passed: int, total: int, verdict: Suitability) -> None:
    assert suitability(result(passed, total), 0.71) is verdict
    with pytest.raises(InputError, match="between 0 and 1"):
        suitability(result(1, 2), 71)


@pytest.mark.parametrize(("passed", "total", "errors"), [(3, 2, 0), (-1, 2, 0), (0, 0, 0), (1, 2, 2)])
def test_impossible_results(passed: int, total: int, errors: int) -> None:
    with pytest.raises(InputError, match="cannot be"):
        result(passed, total, errors=errors)


def test_a_quantised_variant_has_its_own_score() -> None:
    results = [result(80, 100), result(70, 100, variant="Q4_K_M")]
    found = result_for(results, "m", "Q4_K_M", "s")
    assert found is not None
    assert found.passed == 70
    assert result_for(results, "m", "Q8_0", "s") is None
    with pytest.raises(InputError, match="two results"):
        result_for([*results, result(1, 2)], "m", "", "s")


def test_aider_leaderboard() -> None:
    rows = read_aider(Path(__file__).parent / "data" / "leaderboard.yml", suite="polyglot")
    told = [(r.model, r.passed, r.total, r.cost_usd, str(r.as_of)) for r in rows]
    assert told == [
        ("Gemini 2.0 Pro exp-02-05", 80, 225, None, "2025-02-25"),
        ("Gemini 2.5 Pro Preview 03-25", 164, 225, None, "2025-04-12"),
        ("HuggingFace via GLHF: BF16", 95, 133, Decimal("1.25"), "2024-11-09"),
    ]
    first = read_aider(Path(__file__).parent / "data" / "leaderboard.yml", suite="polyglot", attempt=1)
    assert first[0].passed == 46


@pytest.mark.parametrize(
    ("model", "day", "prompt_tokens", "completion_tokens", "usd"),
    [
        ("anthropic/claude-opus-4-0", "2025-05-25", 2_671_437, 380_717, "68.6253"),
        ("anthropic/claude-opus-4-0", "2025-05-25", 2_567_514, 363_142, "65.7484"),
        ("google/gemini-2.5-pro", "2025-06-06", 2_719_961, 4_648_227, "49.8822"),
        ("openai/o3-pro", "2025-06-28", 2_372_636, 1_235_902, "146.3249"),
        ("x-ai/grok-4-0709", "2025-07-11", 2_815_347, 3_411_480, "59.6182"),
    ],
)
def test_bills_equal_the_costs_that_another_tool_recorded(
    model: str, day: str, prompt_tokens: int, completion_tokens: int, usd: str
) -> None:
    """Token counts and costs of five runs on Aider's polyglot leaderboard (Apache-2.0), here as 450 requests."""
    calls = 450
    shapes = [
        ShapeCount(
            shape=RequestShape(
                input_tokens=prompt_tokens // calls + (index < prompt_tokens % calls),
                output_tokens=completion_tokens // calls + (index < completion_tokens % calls),
            ),
            count=1,
        )
        for index in range(calls)
    ]
    bill = api_bill(model, shapes, datetime.fromisoformat(day).replace(tzinfo=UTC))
    assert round(bill.total_usd, 4) == Decimal(usd)


PROMPTFOO = {
    "evalId": "eval-1",
    "results": {
        "version": 3,
        "timestamp": "2026-11-19T10:30:00.000Z",
        "results": [
            {"provider": {"id": "openai:gpt-6-luna"}, "success": True, "cost": 0.001, "failureReason": 0},
            {"provider": {"id": "openai:gpt-6-luna"}, "success": False, "cost": 0.002, "failureReason": 1},
            {"provider": {"id": "openai:gpt-6-luna"}, "success": False, "cost": 0, "failureReason": 2},
            {"provider": {"id": "x", "label": "ours"}, "success": True},
        ],
        "stats": {"successes": 2, "failures": 1, "errors": 1},
    },
}


def test_promptfoo(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(PROMPTFOO), "utf-8")
    luna, ours = read_promptfoo(path, "support questions")
    assert (luna.model, luna.passed, luna.total, luna.errors) == ("openai:gpt-6-luna", 1, 3, 1)
    assert (luna.cost_usd, luna.as_of, luna.suite) == (Decimal("0.003"), date(2026, 11, 19), "support questions")
    assert (ours.model, ours.passed, ours.total, ours.cost_usd) == ("ours", 1, 1, None)


LM_EVAL = {
    "results": {
        "gsm8k": {
            "alias": "gsm8k",
            "exact_match,strict-match": 0.74,
            "exact_match_stderr,strict-match": 0.04,
            "exact_match,flexible-extract": 0.76,
        },
        "arc_easy": {"alias": "arc_easy", "acc,none": 0.5, "acc_stderr,none": 0.05, "acc_norm,none": 0.6},
    },
    "n-samples": {"gsm8k": {"original": 1319, "effective": 100}, "arc_easy": {"original": 2376, "effective": 200}},
    "config": {"model": "local-completions", "model_args": "pretrained=Qwen/Qwen3-8B,dtype=float16"},
    "date": 1763640000.0,
}


def test_lm_evaluation_harness(tmp_path: Path) -> None:
    path = tmp_path / "results_2025.json"
    path.write_text(json.dumps(LM_EVAL | {"results": {"arc_easy": LM_EVAL["results"]["arc_easy"]}}), "utf-8")
    (arc,) = read_lm_eval(path, variant="Q4_K_M")
    assert (arc.model, arc.variant, arc.suite) == ("Qwen/Qwen3-8B", "Q4_K_M", "arc_easy acc,none")
    assert (arc.passed, arc.total, str(arc.as_of)) == (100, 200, "2025-11-20")
    path.write_text(json.dumps(LM_EVAL | {"results": {"gsm8k": LM_EVAL["results"]["gsm8k"]}}), "utf-8")
    with pytest.raises(InputError, match="exact_match,strict-match, exact_match,flexible-extract: choose one"):
        read_lm_eval(path)
    (gsm,) = read_lm_eval(path, metric="exact_match,strict-match")
    assert (gsm.passed, gsm.total) == (74, 100)


def test_plain_csv(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("model,variant,suite,passed,total,cost_usd,as_of\nours,Q4,support,41,50,0.75,2026-11-18\n", "utf-8")
    (ours,) = read_results_csv(path)
    assert (ours.model, ours.variant, ours.passed, ours.total, ours.cost_usd) == ("ours", "Q4", 41, 50, Decimal("0.75"))


@pytest.mark.parametrize(
    ("reader", "text", "complaint"),
    [
        ("csv", "model,passed\n", "no column suite, total"),
        ("csv", "model,suite,passed,total\nm,s,5,4\n", "line 2: .*cannot be"),
        ("csv", "model,suite,passed,total\nm,s,x,4\n", "line 2: "),
        ("promptfoo", "{}", "no results.results"),
        ("promptfoo", '{"results": {"results": [{"provider": "p"}]}}', "result 1: provider or success"),
        ("promptfoo", "[1]", "no JSON object"),
        ("lm_eval", "not json", "as JSON"),
        ("lm_eval", '{"results": {"t": {"acc,none": 0.5}}}', "names no model"),
        ("lm_eval", '{"model_name": "m", "results": {"t": {"acc,none": 0.5}}}', "no number of samples"),
        ("lm_eval", '{"model_name": "m", "results": {"t": {"bleu,none": 5}}}', "choose one of bleu,none"),
        ("aider", "model: m\n", 'line 1: expected "- key: value"'),
        ("aider", "- model: m\n  test_cases: 10\n", "record at line 1: .*pass_rate_2.* is missing"),
    ],
)
def test_wrong_files_are_named(reader: str, text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(text, "utf-8")
    readers = {
        "csv": read_results_csv,
        "promptfoo": lambda file: read_promptfoo(file, "s"),
        "lm_eval": read_lm_eval,
        "aider": lambda file: read_aider(file, suite="s"),
    }
    with pytest.raises(InputError, match=complaint):
        readers[reader](path)
