"""Minimum spend, prepaid credit and provisioned units against months worked by hand."""

from datetime import date
from decimal import Decimal

import pytest
from exact_settlement import SettledLine, settle, settle_provisioned
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.commitments import MinimumSpend, PrepaidCredit, ProvisionedUnits
from pricing.layers import Note, Window

WHY = Note(source="Contract 4711", as_of=date(2026, 11, 1))
MONTHS = [date(2026, 12, 1), date(2027, 1, 1), date(2027, 2, 1)]
LUNA = "openai/gpt-6-luna"


def usage(*usd: str, model: str = LUNA) -> list[tuple[date, dict[str, Decimal]]]:
    return [(month, {model: Decimal(amount)}) for month, amount in zip(MONTHS, usd, strict=False)]


def told(lines: tuple[SettledLine, ...]) -> list[tuple[int, str, str, str]]:
    return [(line.month.month, line.item, f"{line.cash_usd:.2f}", f"{line.pnl_usd:.2f}") for line in lines]


def test_shortfall_of_a_minimum_spend() -> None:
    floor = MinimumSpend(id="floor", targets=("openai",), usd_per_month=Decimal(10_000), why=WHY)
    assert told(settle(usage("7250.50", "10000", "12000"), [floor])) == [
        (12, f"usage {LUNA}", "7250.50", "7250.50"),
        (12, "shortfall floor", "2749.50", "2749.50"),
        (1, f"usage {LUNA}", "10000.00", "10000.00"),
        (2, f"usage {LUNA}", "12000.00", "12000.00"),
    ]


def test_a_minimum_counts_only_its_own_targets_and_months() -> None:
    window = Window(from_date=date(2027, 1, 1), to_date=date(2027, 2, 1))
    floor = MinimumSpend(id="floor", targets=("anthropic",), usd_per_month=Decimal(100), why=WHY, window=window)
    shortfalls = [line for line in settle(usage("500", "500", "500"), [floor]) if line.item == "shortfall floor"]
    assert [(line.month, line.cash_usd) for line in shortfalls] == [(date(2027, 1, 1), Decimal(100))]


def test_prepaid_credit_with_bonus_runs_out() -> None:
    """1,250 of credit for 1,000: each dollar of usage costs 0.80; 500 + 500 + 250 from credit, then 250 in cash."""
    credit = PrepaidCredit(
        id="credit",
        targets=(LUNA,),
        paid_usd=Decimal(1_000),
        credit_usd=Decimal(1_250),
        bought_on=date(2026, 12, 5),
        expires_on=date(2027, 6, 1),
        why=WHY,
    )
    assert told(settle(usage("500", "500", "500"), [credit])) == [
        (12, "prepaid credit", "1000.00", "0.00"),
        (12, f"usage {LUNA} from prepaid credit", "0.00", "400.00"),
        (1, f"usage {LUNA} from prepaid credit", "0.00", "400.00"),
        (2, f"usage {LUNA} from prepaid credit", "0.00", "200.00"),
        (2, f"usage {LUNA}", "250.00", "250.00"),
    ]


def test_prepaid_credit_expires_unused() -> None:
    credit = PrepaidCredit(
        id="credit",
        targets=("openai",),
        paid_usd=Decimal(1_000),
        credit_usd=Decimal(1_000),
        bought_on=date(2026, 12, 1),
        expires_on=date(2027, 2, 1),
        why=WHY,
    )
    lines = settle(usage("300", "300", "300"), [credit])
    assert told(lines)[-2:] == [(1, "expired credit", "0.00", "400.00"), (2, f"usage {LUNA}", "300.00", "300.00")]
    assert sum(line.cash_usd for line in lines) == sum(line.pnl_usd for line in lines) == Decimal(1_300)


@settings(deadline=None)
@given(
    st.lists(st.decimals(0, 5_000, places=2), min_size=3, max_size=3),
    st.decimals(1, 5_000, places=2),
    st.decimals(1, 5_000, places=2),
)
def test_cash_and_profit_agree_over_the_life_of_a_credit(spent: list[Decimal], paid: Decimal, credit: Decimal) -> None:
    bought = PrepaidCredit(
        id="c",
        targets=("openai",),
        paid_usd=paid,
        credit_usd=credit,
        bought_on=MONTHS[0],
        expires_on=date(2027, 3, 1),
        why=WHY,
    )
    lines = settle([(month, {LUNA: usd}) for month, usd in zip(MONTHS, spent, strict=True)], [bought])
    cash, profit = sum(line.cash_usd for line in lines), sum(line.pnl_usd for line in lines)
    assert cash == pytest.approx(profit, abs=Decimal("1e-18"))
    assert cash == paid + max(Decimal(0), sum(spent, Decimal(0)) - credit)


def reserved(units: int = 2) -> ProvisionedUnits:
    return ProvisionedUnits(
        id="reserved",
        model="openai/gpt-6-sol",
        units=units,
        usd_per_unit_h=Decimal(3),
        tokens_per_min=1_000,
        output_weight=4.0,
        why=WHY,
    )


def test_provisioned_units_pay_idle_hours_and_spill_over() -> None:
    """Capacity 2*1000*60 = 120k an hour; 60k and 240k: fixed 12, spilled 120k of 300k of 30 USD = 12."""
    month = settle_provisioned(reserved(), [60_000, 240_000], Decimal(30))
    assert (month.fixed_usd, month.spilled_usd, month.total_usd) == (Decimal(12), Decimal(12), Decimal(24))
    assert month.utilisation_frac == pytest.approx(180_000 / 240_000)
    idle = settle_provisioned(reserved(), [0.0] * 730, Decimal(0))
    assert (idle.total_usd, idle.spilled_frac) == (Decimal(4_380), 0.0)


def test_provisioned_load_must_be_possible() -> None:
    with pytest.raises(ValueError, match="at least one hour"):
        settle_provisioned(reserved(), [], Decimal(0))
