"""The formulas against numpy-financial and against cases that can be done in the head."""

import numpy as np
import numpy_financial as npf
import pytest
import pyxirr
from hypothesis import given
from hypothesis import strategies as st

from planner.cost.finance import (
    annuity_factor,
    discounted,
    irr_frac_per_month,
    levelised_usd_per_month,
    mirr_frac_per_month,
    monthly_rate,
    npv_usd,
    payback_month,
    payback_months,
)

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


def test_payback_within_a_month_and_never() -> None:
    assert payback_month([100.0, -40.0, -40.0, -40.0]) == 2.5
    assert payback_month([100.0, -40.0, -40.0]) is None
    assert payback_month([0.0, -1.0]) == 0.0
    assert payback_month([100.0, -150.0, 100.0, -60.0]) == pytest.approx(2 + 50 / 60)  # under water again in between


def test_discounting_postpones_the_payback() -> None:
    schedule = [100.0, -60.0, -60.0]
    assert payback_month(discounted(schedule, 0.05)) == pytest.approx(1 + (100 - 60 / 1.05) / (60 / 1.05**2))
    assert payback_month(discounted(schedule, 0.2)) is None


one_outlay = st.lists(st.floats(1.0, 1e4), min_size=2, max_size=60)


@given(st.floats(10.0, 1e5), one_outlay)
def test_irr_is_that_of_numpy_financial_and_makes_the_npv_zero(outlay: float, savings: list[float]) -> None:
    schedule = [outlay] + [-saving for saving in savings]
    found = irr_frac_per_month(schedule)
    if found is None:
        assert float(npv_usd(schedule, 10.0)) < 0.0 or float(npv_usd(schedule, -0.5)) > 0.0
        return
    assert float(npv_usd(schedule, found)) == pytest.approx(0.0, abs=1e-6 * (outlay + sum(savings)))
    if -0.05 < found < 1.0:
        assert found == pytest.approx(npf.irr([-value for value in schedule]), rel=1e-6, abs=1e-9)


def test_an_irr_that_is_not_unique_is_none() -> None:
    assert irr_frac_per_month([100.0, -230.0, 132.0]) is None
    assert irr_frac_per_month([-100.0, 110.0]) is None
    assert irr_frac_per_month([100.0, 10.0]) is None
    assert irr_frac_per_month([0.0, 0.0]) is None


@given(st.floats(10.0, 1e5), one_outlay, rates)
def test_mirr_is_that_of_numpy_financial(outlay: float, savings: list[float], rate: float) -> None:
    schedule = [outlay] + [-saving for saving in savings]
    expected = npf.mirr([-value for value in schedule], rate, rate)
    assert mirr_frac_per_month(schedule, rate) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_mirr_needs_both_sides() -> None:
    assert mirr_frac_per_month([100.0, 10.0], 0.01) is None
    assert mirr_frac_per_month([0.0, -10.0], 0.01) is None


@given(st.floats(10.0, 1e5), one_outlay, rates)
def test_the_formulas_are_those_of_pyxirr(outlay: float, savings: list[float], rate: float) -> None:
    schedule = [outlay] + [-saving for saving in savings]
    gains = [-value for value in schedule]
    assert float(npv_usd(schedule, rate)) == pytest.approx(-pyxirr.npv(rate, gains), rel=1e-9, abs=1e-9 * sum(savings))
    assert mirr_frac_per_month(schedule, rate) == pytest.approx(pyxirr.mirr(gains, rate, rate), rel=1e-9, abs=1e-12)
    found = irr_frac_per_month(schedule)
    if found is not None and -0.05 < found < 1.0:
        assert found == pytest.approx(pyxirr.irr(gains), rel=1e-9, abs=1e-9)


def test_an_irr_with_two_answers_is_refused_where_libraries_pick_one() -> None:
    """[-100, 230, -132] is 0 at 10 % and at 20 %: one library says the first, the other the second."""
    assert irr_frac_per_month([100.0, -230.0, 132.0]) is None
    picked = sorted((npf.irr([-100.0, 230.0, -132.0]), pyxirr.irr([-100.0, 230.0, -132.0])))
    assert picked == pytest.approx([0.1, 0.2])


@given(st.lists(one_outlay.map(lambda s: [100.0, *[-x for x in s][:12]]), min_size=1, max_size=8))
def test_many_paybacks_at_once_equal_one_by_one(schedules: list[list[float]]) -> None:
    width = max(len(schedule) for schedule in schedules)
    padded = [schedule + [0.0] * (width - len(schedule)) for schedule in schedules]
    alone = [payback_month(schedule) for schedule in padded]
    together = payback_months(np.array(padded))
    assert [None if np.isnan(month) else month for month in together.tolist()] == pytest.approx(alone)
