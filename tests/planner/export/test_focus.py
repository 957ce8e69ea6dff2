"""focus.csv: cash and P&L in the shape of FOCUS, list cost exact, and the real validator where it is installed."""

import csv
import dataclasses
import io
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest
from plan_case import write_case

from planner.decision.decide import make_plan, size_fleets
from planner.decision.plan import Plan
from planner.export.directory import focus_csv
from planner.export.focus import COLUMNS
from planner.scenario.load import load_inputs

REPOSITORY = Path(__file__).parents[3]
VALIDATOR = REPOSITORY / ".venv-focus" / "bin" / "python"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    inputs = load_inputs(write_case(tmp_path_factory.mktemp("focus")))
    return make_plan(inputs, size_fleets(inputs))


def rows(plan: Plan) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(focus_csv(plan).decode())))


def test_list_cost_is_unit_price_times_quantity_in_every_row_to_the_last_digit(plan: Plan) -> None:
    found = rows(plan)
    assert len(found) == sum(len(option.lines) for option in plan.options)
    for row in found:
        assert Decimal(row["ListCost"]) == Decimal(row["ListUnitPrice"]) * Decimal(row["PricingQuantity"])
        assert Decimal(row["ContractedCost"]) == Decimal(row["ListCost"])
        assert "E" not in row["ListCost"]


def test_billed_cost_sums_to_the_cash_and_effective_cost_to_the_profit_and_loss_of_every_option(plan: Plan) -> None:
    for rank, option in enumerate(plan.options, start=1):
        mine = [row for row in rows(plan) if row["x_Option"] == option.id]
        assert {row["x_OptionRank"] for row in mine} == {str(rank)}
        for column, total in (("BilledCost", option.cash_total_usd), ("EffectiveCost", option.pnl_total_usd)):
            assert float(sum(Decimal(row[column]) for row in mine)) == pytest.approx(total, abs=1e-3)


def test_a_machine_is_billed_when_bought_and_effective_while_it_wears(plan: Plan) -> None:
    """2,400 USD over 48 months are 50 a month; the case's horizon ends with the machine's life."""
    owned = [r for r in rows(plan) if r["x_Option"] == "cpu-1p-8c" and not r["SkuMeter"].startswith("network")]
    bought = [r for r in owned if r["x_CostCategory"] == "purchase"]
    worn = [r for r in owned if r["x_CostCategory"] == "depreciation"]
    machines = Decimal(bought[0]["PricingQuantity"])
    assert [(r["ChargeCategory"], r["ChargeFrequency"]) for r in bought] == [("Purchase", "One-Time")]
    assert Decimal(bought[0]["BilledCost"]) == machines * 2400
    assert Decimal(bought[0]["EffectiveCost"]) == 0
    assert len(worn) == 48
    assert {Decimal(r["EffectiveCost"]) for r in worn} == {machines * 50}
    assert {Decimal(r["BilledCost"]) for r in worn} == {Decimal(0)}


def test_a_sale_is_a_negative_billed_cost(plan: Plan) -> None:
    sold = dataclasses.replace(
        plan.options[0].lines[0],
        category="resale",
        quantity=4.0,
        unit_price_usd=-2875.0,
        cash_usd=-11500.0,
        pnl_usd=0.0,
    )
    changed = dataclasses.replace(plan, options=(dataclasses.replace(plan.options[0], lines=(sold,)),))
    (row,) = rows(changed)
    assert (row["BilledCost"], row["EffectiveCost"], row["ChargeCategory"]) == ("-11500.00", "0.00", "Credit")
    assert (row["ListUnitPrice"], row["PricingQuantity"]) == ("2875.00", "-4.00")


def test_tokens_carry_model_source_and_date(plan: Plan) -> None:
    row = next(r for r in rows(plan) if r["x_OptionKind"] == "api" and r["SkuMeter"] == "input tokens")
    assert (row["x_Model"], row["ProviderName"]) == ("openai/gpt-4o-mini", "openai")
    assert row["PricingUnit"] == "1000000 Tokens"
    assert Decimal(row["ConsumedQuantity"]) == Decimal(row["PricingQuantity"]) * 1_000_000
    assert row["x_PriceAsOf"].startswith("2026-")
    assert row["BillingPeriodStart"] == "2026-12-01T00:00:00Z"
    assert row["BillingPeriodEnd"] == "2027-01-01T00:00:00Z"
    assert row["x_IsForecast"] == "true"


def test_own_columns_come_last_and_begin_with_x(plan: Plan) -> None:
    own = [column.startswith("x_") for column in COLUMNS]
    assert own == sorted(own)
    assert len(set(COLUMNS)) == len(COLUMNS)


@pytest.mark.skipif(not VALIDATOR.exists(), reason="`make focus-check` installs the FOCUS validator")
def test_the_validator_has_no_unexpected_failure(plan: Plan, tmp_path: Path) -> None:
    file = tmp_path / "focus.csv"
    file.write_bytes(focus_csv(plan))
    wrong = tmp_path / "wrong.csv"
    wrong.write_bytes(focus_csv(plan).replace(b",USD,", b",DOLLARS,"))
    check = REPOSITORY / "benchmarks" / "focus" / "check.py"
    good, bad = (
        subprocess.run([VALIDATOR, check, name], capture_output=True, text=True, check=False) for name in (file, wrong)
    )
    assert good.returncode == 0, good.stdout + good.stderr
    assert bad.returncode == 1
    assert "BillingCurrency" in bad.stdout
