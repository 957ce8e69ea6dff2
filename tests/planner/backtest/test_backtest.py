"""Plan against actual: the split worked by hand, every kind of bill, bad rows by line."""

import dataclasses
import json
from decimal import Decimal
from pathlib import Path

import pytest
from plan_case import write_case
from typer.testing import CliRunner

from measure.cli import app
from planner.backtest.bills import read_bill, read_server_metrics
from planner.backtest.difference import MonthVariance, backtest, totals
from planner.cost.schedule import CostLine
from planner.decision.decide import make_plan, size_fleets
from planner.decision.plan import Plan
from planner.errors import InputError
from planner.export.directory import focus_csv
from planner.scenario.load import load_inputs

MODEL = "openai/gpt-4o-mini"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_case(tmp_path_factory.mktemp("backtest"))


@pytest.fixture(scope="module")
def plan(directory: Path) -> Plan:
    inputs = load_inputs(directory)
    return make_plan(inputs, size_fleets(inputs))


def planned(plan: Plan, **million_tokens: tuple[float, float]) -> Plan:
    """The plan with one month of so many million tokens at so many USD per million, by kind."""
    api = plan.best_api
    assert api is not None
    lines = tuple(
        CostLine(
            option=api.id,
            month=1,
            period_start="2026-12-01",
            category="API",
            item=f"{kind.replace('_', ' ')} tokens",
            quantity=quantity,
            unit="million tokens",
            unit_price_usd=price,
            cash_usd=quantity * price,
            pnl_usd=quantity * price,
            basis=f"{MODEL}; by hand",
        )
        for kind, (quantity, price) in million_tokens.items()
    )
    return dataclasses.replace(plan, options=(dataclasses.replace(api, lines=lines),), price_lock=None)


def sums_exactly(month: MonthVariance) -> bool:
    parts = month.volume_usd + month.mix_usd + month.cache_usd + month.price_usd
    return parts == month.actual_usd - month.planned_usd


def test_the_split_worked_by_hand(plan: Plan) -> None:
    """Planned: 60 M input at $1, 20 M cached at $0.10, 20 M output at $4: 60 + 2 + 80 = $142.

    Used: 90 M input, 10 M cached, 25 M output, paid $180. Volume: 125 / 100 of it all, $177.50: +35.50.
    Mix: 100 M of input side with a planned quarter cached, 75 x 1 + 25 x 0.1 = 77.50, and 25 x 4 = 100: $177.50, +0.00.
    Cache: 90 x 1 + 10 x 0.1 + 100 = $191: +13.50. Price: 180 - 191 = -11.00.
    """
    case = planned(plan, input=(60.0, 1.0), cached_input=(20.0, 0.1), output=(20.0, 4.0))
    bill = b"date,model,input_tokens,cached_input_tokens,output_tokens,cost_usd\n"
    bill += b"2026-12,gpt-4o-mini,90000000,10000000,25000000,180\n"
    (month,) = backtest(case, [read_bill("bill.csv", bill)]).months
    assert month.planned_usd == Decimal(142)
    assert (month.volume_usd, month.mix_usd) == (Decimal("35.5"), Decimal(0))
    assert (month.cache_usd, month.price_usd) == (Decimal("13.5"), Decimal(-11))
    assert (month.planned_cached_frac, month.actual_cached_frac) == (0.25, 0.1)
    assert sums_exactly(month)


def test_longer_answers_are_mix_and_another_model_is_mix(plan: Plan) -> None:
    """Planned 80 M input at $1 and 20 M output at $4 = $160. The same 100 M tokens, 70 input and 30 output: 70 + 120 =
    $190, +30 of mix. With 10 M of the output by a model not in the plan, for $15: 70 + 80 + 15 = $165, +5 of mix."""
    case = planned(plan, input=(80.0, 1.0), output=(20.0, 4.0))
    one = b"date,model,kind,tokens,cost_usd\n2026-12-03,gpt-4o-mini-2024-07-18,input,70e6,70\n"
    one += b"2026-12-03,gpt-4o-mini,output,30e6,120\n"
    (month,) = backtest(case, [read_bill("one.csv", one)]).months
    assert (month.volume_usd, month.mix_usd, month.cache_usd, month.price_usd) == (0, 30, 0, 0)
    two = (
        b"date,model,kind,tokens,cost_usd\n2026-12-03,gpt-4o-mini,input,70e6,70\n"
        b"2026-12-03,gpt-4o-mini,output,20e6,80\n2026-12-04,gpt-5,output,10e6,15\n"
    )
    result = backtest(case, [read_bill("two.csv", two)])
    (month,) = result.months
    assert (month.volume_usd, month.mix_usd, month.cache_usd, month.price_usd) == (0, 5, 0, 0)
    assert result.matched == {"gpt-4o-mini": MODEL, "gpt-5": None}
    assert any("gpt-5" in note for note in result.notes)
    assert any("2 of 31 days" in note for note in result.notes)


def test_a_bill_as_planned_shows_no_difference(plan: Plan) -> None:
    """The plan's own FOCUS file is the bill: every part of every month is zero to a hundredth of a cent."""
    api = plan.best_api
    assert api is not None
    only = dataclasses.replace(plan, options=(api,))
    result = backtest(plan, [read_bill("focus.csv", focus_csv(only))])
    assert len(result.months) == plan.scenario.horizon_months
    for month in result.months:
        assert sums_exactly(month)
        for part in (month.volume_usd, month.mix_usd, month.cache_usd, month.price_usd):
            assert abs(part) <= Decimal("0.0001")
    assert float(totals(result)["planned_usd"]) == pytest.approx(api.cash_total_usd, abs=1e-3)


def test_openai_usage_and_costs_go_together(plan: Plan) -> None:
    """`input_tokens` holds the cached ones; the costs come from another file, one row per line item."""
    case = planned(plan, input=(80.0, 1.0), cached_input=(10.0, 0.1), output=(10.0, 4.0))
    usage = (
        b"start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,model,batch,input_tokens,"
        b"output_tokens,input_cached_tokens\n"
        b"1,2,2026-12-01T00:00:00+00:00,2026-12-02T00:00:00+00:00,p,1000,gpt-4o-mini-2024-07-18,false,90000000,10000000,10000000\n"
    )
    costs = (
        b"start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id\n"
        b'1,2,2026-12-01T00:00:00+00:00,x,100.5,usd,"gpt-4o-mini-2024-07-18, input",p\n'
        b"1,2,2026-12-02T00:00:00+00:00,x,,,,p\n"
        b'1,2,2026-12-01T00:00:00+00:00,x,40.5,usd,"gpt-4o-mini-2024-07-18, output",p\n'
    )
    bills = [read_bill("usage.csv", usage), read_bill("costs.csv", costs)]
    assert [bill.format for bill in bills] == ["OpenAI usage export", "OpenAI cost export"]
    (month,) = backtest(case, bills).months
    assert month.planned_usd == 121
    assert (month.volume_usd, month.mix_usd, month.cache_usd, month.price_usd) == (0, 0, 0, 20)


def test_an_anthropic_usage_export_without_amounts_is_priced_as_planned(plan: Plan) -> None:
    """Planned 80 M + 20 M output: $160. Used 60 M plain, 20 M from the cache (no cached price: as input), 20 M out."""
    case = planned(plan, input=(80.0, 1.0), output=(20.0, 4.0))
    usage = (
        "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,"
        "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,"
        "usage_output_tokens,web_search_count\n"
        "2026-12-01,gpt-4o-mini,k,w,standard,≤ 200k,60000000,0,0,20000000,20000000,0\n"
    ).encode()
    result = backtest(case, [read_bill("usage.csv", usage)])
    (month,) = result.months
    assert not month.has_amounts
    assert (month.actual_usd, month.price_usd, month.actual_cached_frac) == (160, 0, 0.25)
    assert any("no amounts" in note for note in result.notes)


def test_server_metrics_are_scaled_to_a_month(plan: Plan) -> None:
    """73 hours are a tenth of a month of 730: (9 - 1) M prompt tokens, half of them hits, become 40 M and 40 M."""
    start = b'# TYPE vllm:prompt_tokens counter\nvllm:prompt_tokens_total{model_name="m"} 1e6\n'
    start += b"vllm:generation_tokens_total 0\nvllm:prefix_cache_hits_total 0\n"
    end = (
        b'vllm:prompt_tokens_total{model_name="m",engine="0"} 5e6\nvllm:prompt_tokens_total{engine="1"} 4e6\n'
        b"vllm:generation_tokens_total 2000000.0\nvllm:prefix_cache_hits_total 4e6\nvllm:request_success_total 7\n"
    )
    bill, factor = read_server_metrics([("a", start), ("b", end)], month="2026-12", hours=73.0, model=MODEL)
    assert factor == pytest.approx(10.0)
    assert [(line.kind, float(line.tokens or 0)) for line in bill.lines] == [
        ("input", pytest.approx(40e6)),
        ("cached input", pytest.approx(40e6)),
        ("output", pytest.approx(20e6)),
    ]
    (month,) = backtest(planned(plan, input=(80.0, 1.0), output=(20.0, 4.0)), [bill]).months
    assert month.volume_usd == 0
    with pytest.raises(InputError, match="restarted"):
        read_server_metrics([("a", end), ("b", start)], month="2026-12", hours=73.0, model=MODEL)
    with pytest.raises(InputError, match="prompt_tokens"):
        read_server_metrics([("a", b"x 1\n")], month="2026-12", hours=73.0, model=MODEL)


def test_bad_rows_are_named_by_line() -> None:
    bill = read_bill(
        "bill.csv",
        b"date,model,input_tokens,output_tokens,cost_usd,currency\n2026-12-01,m,1,1,1,USD\nnever,m,1,1,1,USD\n"
        b"2026-12-01,m,-5,1,1,USD\n2026-12-01,m,1,1,abc,USD\n2026-12-01,,1,1,1,USD\n2026-12-01,m,1,1,1,EUR\n",
    )
    assert [line.line for line in bill.bad_lines] == [3, 4, 5, 6, 7]
    assert [
        word in line.reason
        for word, line in zip(("date", "below 0", "number", "model", "EUR"), bill.bad_lines, strict=True)
    ] == [True] * 5


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,b\n1,2\n", "a, b"),
        (b"", "no table"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"vllm:prompt_tokens_total 1\n", "--hours"),
    ],
)
def test_an_unknown_file_is_refused_in_one_sentence(content: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        read_bill("what.csv", content)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("bill", "said"),
    [
        (b"date,model,input_tokens,output_tokens\n2020-01,m,1,1\n", "2020-01 to 2020-01"),
        (b"usage_date_utc,model,cost_usd\n2026-12-01,gpt-4o-mini,5\n", "usage export"),
        (b"date,model,input_tokens,output_tokens\n2026-12,elsewhere,1,1\n", "no amount for elsewhere"),
    ],
)
def test_a_bill_that_cannot_be_held_against_the_plan_says_why(plan: Plan, bill: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        backtest(plan, [read_bill("bill.csv", bill)])


def test_the_command_splits_and_refuses(directory: Path, tmp_path: Path) -> None:
    bill = tmp_path / "bill.csv"
    bill.write_text("date,model,input_tokens,output_tokens,cost_usd\n2026-12,gpt-4o-mini,6570000000,6570000,1000\n")
    table = tmp_path / "table.csv"
    ran = CliRunner().invoke(app, ["backtest", str(directory), "--actual", str(bill), "--json", "--out", str(table)])
    assert ran.exit_code == 0, ran.output
    (month,) = json.loads(ran.stdout)["months"]
    assert month["planned_usd"] == pytest.approx(989.442)
    parts = month["volume_usd"] + month["mix_usd"] + month["cache_usd"] + month["price_usd"]
    assert parts == pytest.approx(1000 - 989.442)
    assert month["volume_usd"] == pytest.approx(0, abs=1e-3)
    assert table.read_text().startswith("option,month,planned_usd,volume_usd")
    bill.write_text("date,model,input_tokens,output_tokens\nnever,gpt-4o-mini,1,1\n")
    with pytest.raises(InputError, match="line 2"):
        CliRunner().invoke(app, ["backtest", str(directory), "--actual", str(bill)], catch_exceptions=False)


def test_a_row_with_a_bad_amount_leaves_none_of_its_tokens() -> None:
    bill = read_bill(
        "bill.csv",
        b"date,model,input_tokens,output_tokens,cost_usd\n2026-12-01,m,100,10,=1+1\n2026-12-01,m,5,1,0.5\n",
    )
    assert [(line.line, "cost_usd" in line.reason) for line in bill.bad_lines] == [(2, True)]
    assert [line.tokens for line in bill.lines if line.tokens] == [Decimal(5), Decimal(1)]
