"""The figures show the numbers of the plan, and every mark is where it should be."""

import dataclasses
import math

import pytest
from plan_case import ONE_AT_A_TIME, write_case

from planner.charts.plan import (
    api_price_at_break_even,
    cost_against_volume,
    cost_by_category,
    cumulative_cash,
    latency_against_concurrency,
    load_by_hour,
    throughput_against_concurrency,
    tornado_chart,
    ttft_against_prompt_length,
)
from planner.decision.decide import make_plan, size_fleets
from planner.decision.plan import Plan
from planner.scenario.load import load_inputs


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    inputs = load_inputs(write_case(tmp_path_factory.mktemp("charts")))
    return make_plan(inputs, size_fleets(inputs))


def test_volume_lines_are_the_options_and_the_marks_the_plan_and_the_break_even(plan: Plan) -> None:
    figure = cost_against_volume(plan)
    assert {trace.name for trace in figure.data} == {"api: openai/gpt-4o-mini", "rent: aws-c7a-large", "own: cpu-1p-8c"}
    marks = {note.text: note.x for note in figure.layout.annotations}
    assert marks["plan 216 k"] == pytest.approx(math.log10(216_000))
    assert marks["break-even 297 k"] == pytest.approx(math.log10(297_390.2), abs=1e-6)


def test_the_price_ratio_at_the_plan_is_that_of_the_worked_example(plan: Plan) -> None:
    trace = api_price_at_break_even(plan).data[0]
    nearest = min(range(len(trace.x)), key=lambda index: abs(trace.x[index] - 216_000))
    volume = trace.x[nearest]
    assert trace.y[nearest] == pytest.approx((1228.95 + 13.6875 * volume / 216_000) / (989.442 * volume / 216_000))


def test_the_tornado_is_widest_at_the_top_and_starts_at_the_mid(plan: Plan) -> None:
    figure = tornado_chart(plan)
    low, high = figure.data
    assert low.y[-1] == "staff (FTE)"
    assert low.base == pytest.approx(1242.6375 - 989.442, abs=1e-3)
    assert low.x[-1] == pytest.approx(-500.0)  # 0.05 FTE less of 120,000 USD a year
    assert high.x[-1] == pytest.approx(2000.0)  # 0.2 FTE more


def test_bars_of_a_composition_add_up_to_the_mean_month(plan: Plan) -> None:
    figure = cost_by_category(plan)
    for position, option in enumerate(reversed(plan.options)):
        total = sum(trace.x[position] for trace in figure.data)
        assert total == pytest.approx(option.pnl_total_usd / 48)


def test_cumulated_cash_ends_at_the_total(plan: Plan) -> None:
    ends = {trace.name.partition(": ")[2]: trace.y[-1] for trace in cumulative_cash(plan).data}
    assert ends == pytest.approx({option.id: option.cash_total_usd for option in plan.options})


def test_hours_show_needed_and_paid_replicas(plan: Plan) -> None:
    fleet = plan.best_self_host.fleet if plan.best_self_host else None
    assert fleet is not None
    paid, needed, rate = load_by_hour(fleet.week).data
    assert (set(paid.y), set(needed.y)) == ({4}, {3})
    assert list(rate.y) == pytest.approx([2.5] * 168)


def test_measured_lines_need_two_valid_levels() -> None:
    one = ONE_AT_A_TIME.levels[0]
    four = dataclasses.replace(one, target=4.0, achieved_concurrency=4.0, output_tokens_per_s=3.0)
    broken = dataclasses.replace(one, target=8.0, valid=False)
    assert throughput_against_concurrency([one, four, broken]).data[0].y == (1.0, 3.0)
    assert latency_against_concurrency([one, four, broken]).data[0].y == (1.0, 1.0)
    assert len(throughput_against_concurrency([one, broken]).data) == 0
    assert ttft_against_prompt_length([one, four, broken]).data[0].x == (1000.0,)
