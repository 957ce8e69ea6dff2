"""What a person uploads on a page: a bill, a server's metrics, another tool's result, and what is neither."""

import csv
import io
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from planner.export.directory import plan_files
from planner.pages.state import Session
from planner.pages.work import SHARED, plan_key

TIMEOUT_S = 120
HOSTILE = "<img src=x onerror=alert(1)>.csv"
METRICS = (
    'vllm:prompt_tokens_total{model_name="m"} 1000000\n'
    'vllm:generation_tokens_total{model_name="m"} 50000\n'
    'vllm:prefix_cache_hits_total{model_name="m"} 250000\n'
)
Open = Callable[[str], AppTest]


@pytest.fixture
def opened(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    monkeypatch.setenv("BREAKEVEN_SCENARIO", str(repository / "examples" / "scenario.toml"))

    def run(page: str) -> AppTest:
        app = AppTest.from_file(str(repository / "app.py"), default_timeout=TIMEOUT_S).run()
        session: Session = app.session_state["session"]
        while session.job is not None:
            assert session.job.finished.wait(TIMEOUT_S)
            app.run()
        return app.switch_page(f"planner/pages/{page}.py").run()

    return run


def give(app: AppTest, key: str, name: str, content: str | bytes) -> AppTest:
    upload = next(found for found in app.get("file_uploader") if found.key == key)
    raw = content if isinstance(content, bytes) else content.encode()
    app = upload.set_value([(name, raw, "text/plain")] if key == "backtest_upload" else (name, raw, "text/plain")).run()
    assert not app.exception, app.exception[0].message
    return app


def planned(app: AppTest, month: str) -> tuple[str, Decimal]:
    """The cheapest API model, and what the plan's own costs.csv lets it cost in a month."""
    key = plan_key(app.session_state["session"].scenario, app.session_state["session"].directory)
    plan = SHARED.plans.get(key)
    assert plan is not None
    best: str = plan.best_api.id
    rows = csv.DictReader(io.StringIO(plan_files(plan)["costs.csv"].decode("utf-8-sig")))
    return best, sum(
        (
            Decimal(row["cash_usd"])
            for row in rows
            if (row["option"], row["period_start"][:7], row["unit"]) == (best, month, "million tokens")
        ),
        Decimal(0),
    )


def test_a_bill_of_twice_the_planned_money_is_split_and_adds_up(opened: Open) -> None:
    app = opened("backtest")
    assert any("Upload the usage or cost export" in info.value for info in app.info)
    model, cost = planned(app, "2026-12")
    paid = 2 * cost
    bill = f"date,model,input_tokens,output_tokens,cost_usd\n2026-12-01,{model},13000000000,180000000,{paid}\n"
    app = give(app, "backtest_upload", HOSTILE, bill)
    assert not app.error
    row = app.dataframe[0].value.iloc[0]
    assert row["month"] == "2026-12"
    assert row["actual [USD]"] == pytest.approx(float(paid), abs=1e-5)
    assert row["planned [USD]"] == pytest.approx(float(cost), abs=1e-3)
    parts = sum(row[f"{part} [USD]"] for part in ("volume", "mix", "cache", "price"))
    assert row["planned [USD]"] + parts == pytest.approx(row["actual [USD]"], abs=1e-5)
    assert not any("<img" in element.value.replace("\\<", "") for element in (*app.caption, *app.markdown))


def test_server_metrics_ask_for_month_and_hours_and_scale_to_the_month(opened: Open) -> None:
    app = give(opened("backtest"), "backtest_upload", "metrics.txt", METRICS)
    assert not app.error
    at_once = app.dataframe[0].value.iloc[0]["actual [USD]"]
    app = next(number for number in app.number_input if number.key == "backtest_hours").set_value(73.0).run()
    assert app.dataframe[0].value.iloc[0]["actual [USD]"] == pytest.approx(10 * at_once, abs=1e-5)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("hello\nworld\n", "none of"),
        (b"PK\x03\x04\xff\xfe\x00", "not UTF-8"),
        ("date,model,input_tokens,output_tokens\n1999-01-01,m,1,1\n", "the plan"),
        ("vllm:prompt_tokens_total 5\n", "generation_tokens"),
    ],
)
def test_what_is_no_bill_is_refused_in_one_sentence(opened: Open, content: str | bytes, says: str) -> None:
    app = give(opened("backtest"), "backtest_upload", HOSTILE, content)
    (error,) = app.error
    assert says in error.value.replace("\\", "")
    assert "<img" not in error.value.replace("\\<", "")


def test_rows_of_a_bill_that_cannot_be_read_are_listed_by_line(opened: Open) -> None:
    app = opened("backtest")
    model, _ = planned(app, "2026-12")
    rows = [
        ["date", "model", "input_tokens", "output_tokens"],
        ["2026-12-01", model, "10", "5"],
        ["soon", model, "1", "1"],
    ]
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    app = give(app, "backtest_upload", "bill.csv", text.getvalue())
    assert any("1 rows could not be read" in warning.value for warning in app.warning)
    assert app.dataframe[1].value["line"].tolist() == [3]


def sweep_row(isl: int, osl: int, conc: int) -> dict[str, Any]:
    """One point of a sweep as InferenceX publishes it, in a steady closed loop on 8 GPUs."""
    ttft_s, tpot_s = 0.02 + isl * conc**0.5 * 2e-5, 0.005 + 0.0002 * conc
    e2e_s = ttft_s + (osl - 1) * tpot_s
    row: dict[str, Any] = {"hw": "h200", "conc": conc, "image": "vllm/vllm-openai:v0.11.0", "model": "m/test"}
    row |= {"infmax_model_prefix": "m", "framework": "vllm", "precision": "fp4", "spec_decoding": "none"}
    row |= {"disagg": False, "is_multinode": False, "isl": isl, "osl": osl, "tp": 8, "ep": 1, "dp_attention": "false"}
    row |= {"mean_ttft": ttft_s, "median_ttft": ttft_s, "p99_ttft": 2 * ttft_s, "mean_tpot": tpot_s}
    per_gpu = conc / e2e_s / 8
    return row | {"mean_e2el": e2e_s, "output_tput_per_gpu": per_gpu * osl, "input_tput_per_gpu": per_gpu * isl}


def test_another_tools_result_is_drawn_beside_the_plans_and_can_be_planned_with(opened: Open) -> None:
    shapes = ((1024, 1024), (1024, 8192), (8192, 1024))
    rows = [sweep_row(isl, osl, conc) for isl, osl in shapes for conc in (4, 16, 64)]
    app = give(opened("measurements"), "measurement_upload", "<img src=x>.json", json.dumps(rows))
    assert not app.error
    assert any("m/test" in element.value for element in app.markdown)
    assert len(app.dataframe[0].value) == len(rows)
    assert any(button.label == "Plan with this profile" and not button.disabled for button in app.button)
    assert not any("<img" in element.value for element in app.markdown)


def test_a_result_that_can_only_be_shown_says_why_and_changes_nothing(opened: Open, repository: Path) -> None:
    content = (repository / "tests" / "planner" / "imports" / "data" / "guidellm-mock.json").read_bytes()
    before = (app := opened("measurements")).dataframe[0].value
    app = give(app, "measurement_upload", "guidellm.json", content)
    (error,) = app.error
    assert "can only be shown" in error.value
    assert app.dataframe[0].value.equals(before)
