"""The formulas against numpy-financial and against cases that can be done in the head."""

import numpy as np
import numpy_financial as npf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.finance import annuity_factor, levelised_usd_per_month, monthly_rate, npv_usd

amounts = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60)
rates = st.floats(0.0001, 0.05)


@given(amounts, rates)
def test_npv_is_that_of_numpy_financial(schedule: list[float], rate: float) -> None:
    assert float(npv_usd(schedule, rate)) == pytest.approx(npf.npv(rate, schedule), rel=1e-9, abs=1e-6)


@given(rates, st.integers(1, 120))
def test_annuity_factor_is_that_of_numpy_financial(rate: float, months: int) -> None:
    assert float(annuity_factor(rate, months)) == pytest.approx(-npf.pv(rate, months, 1.0), rel=1e-9)


def test_a_rate_of_zero_only_adds() -> None:
    assert float(npv_usd([1.0, 2.0, 3.0], 0.0)) == 6.0
    assert float(annuity_factor(0.0, 36)) == 36.0
    assert float(levelised_usd_per_month([36.0, 0.0, 0.0], 0.0)) == 18.0


@given(st.floats(-0.5, 1.0))
def test_twelve_months_compound_to_the_year(rate: float) -> None:
    assert (1.0 + float(monthly_rate(rate))) ** 12 == pytest.approx(1.0 + rate)


@given(st.floats(-1e6, 1e6), st.integers(1, 60), rates)
def test_equal_bills_levelise_to_the_bill(bill: float, months: int, rate: float) -> None:
    assert float(levelised_usd_per_month([0.0] + [bill] * months, rate)) == pytest.approx(bill)


def test_a_purchase_levelises_to_the_payment_of_a_loan() -> None:
    schedule = [10_000.0] + [0.0] * 36
    assert float(levelised_usd_per_month(schedule, 0.0075)) == pytest.approx(-npf.pmt(0.0075, 36, 10_000.0))


def test_many_schedules_at_once_equal_one_by_one() -> None:
    schedules = np.arange(12.0).reshape(3, 4)
    rate = np.array([0.0, 0.01, 0.02])
    together = levelised_usd_per_month(schedules, rate)
    alone = [float(levelised_usd_per_month(row, r)) for row, r in zip(schedules, rate, strict=True)]
    assert together.tolist() == pytest.approx(alone)
