"""Negotiated prices and promised spends in a plan, worked from the worked example (989.442 USD a month)."""

from pathlib import Path

import pytest
from plan_case import SCENARIO, write_case

from planner.decide import make_plan, size_fleets
from planner.errors import InputError
from planner.load import load_inputs
from planner.plan import Plan

WHY = 'source = "Contract 4711"\nas_of = 2026-11-01\n'


def plan_with(directory: Path, prices: str, requests_per_day: int = 216_000) -> Plan:
    scenario = SCENARIO.replace("profile =", 'own_prices = "prices.toml"\nprofile =')
    (directory / "prices.toml").write_text(prices)
    inputs = load_inputs(write_case(directory, scenario.replace("216_000", str(requests_per_day))))
    return make_plan(inputs, size_fleets(inputs))


def api_usd(plan: Plan) -> float:
    assert plan.best_api is not None
    return plan.best_api.levelised_usd_per_month


def test_a_discount_comes_off_every_month(tmp_path: Path) -> None:
    plan = plan_with(tmp_path, f'[[discount]]\ntarget = "openai"\npercent = 20\n{WHY}')
    assert api_usd(plan) == pytest.approx(0.8 * 989.442)
    assert [file.role for file in plan.files] == ["request log", "profile", "own prices"]


def test_a_commitment_that_is_not_used_up_is_paid_all_the_same(tmp_path: Path) -> None:
    """Promised 1,500, used 989.442: the missing 510.558 is paid, and owning at 1,242.6375 becomes cheaper.

    It is so from no traffic on: one machine and the staff cost 1,114.475, and the API no less than 1,500.
    """
    promise = f'[[commitment]]\nkind = "minimum-spend"\nid = "floor"\ntargets = ["openai"]\nusd_per_month = 1500\n{WHY}'
    plan = plan_with(tmp_path, promise)
    assert api_usd(plan) == pytest.approx(1500.0)
    assert plan.best_api is not None
    short = [line for line in plan.best_api.lines if line.category == "commitment"]
    assert [line.cash_usd for line in short] == pytest.approx([510.558] * 48)
    assert plan.options[0].id == "cpu-1p-8c"
    assert plan.break_even is not None
    assert plan.break_even.crossings == () or plan.break_even.crossings[0].requests_per_day > 216_000


def test_a_commitment_that_is_used_up_costs_nothing_more(tmp_path: Path) -> None:
    promise = f'[[commitment]]\nkind = "minimum-spend"\nid = "floor"\ntargets = ["openai"]\nusd_per_month = 900\n{WHY}'
    assert api_usd(plan_with(tmp_path, promise)) == pytest.approx(989.442)


def test_a_commitment_ends_with_its_window(tmp_path: Path) -> None:
    promise = (
        '[[commitment]]\nkind = "minimum-spend"\nid = "floor"\ntargets = ["openai/gpt-4o-mini"]\nusd_per_month = 1500\n'
        f"to_date = 2027-12-01\n{WHY}"
    )
    plan = plan_with(tmp_path, promise)
    assert plan.best_api is not None
    assert plan.best_api.cash_by_month_usd[12] == pytest.approx(1500.0)  # 2027-11
    assert plan.best_api.cash_by_month_usd[13] == pytest.approx(989.442)


def test_a_commitment_that_cannot_be_planned_is_refused(tmp_path: Path) -> None:
    prepaid = (
        '[[commitment]]\nkind = "prepaid"\nid = "credit"\ntargets = ["openai"]\npaid_usd = 900\ncredit_usd = 1000\n'
        f"bought_on = 2026-12-01\nexpires_on = 2027-12-01\n{WHY}"
    )
    with pytest.raises(InputError, match="take credit out of the price file"):
        plan_with(tmp_path, prepaid)
