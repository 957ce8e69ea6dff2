"""Schedules against hand-worked cases and against laws that any schedule obeys."""

import dataclasses

import numpy as np
import pytest
from cost_case import OWN, RENT, WORLD, api, frame
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.capacity.staircase import FleetRules
from planner.cost.draws import Draws, draws_from, each_at
from planner.cost.ledger import ledger, levelised_cost_usd_per_month
from planner.cost.options import ApiOption, Option
from planner.cost.schedule import AssetTerms, asset_entries, cash_usd, cost_lines, period_start, pnl_usd
from pricing.types import Term


def asset(machines: list[float], **terms: float) -> tuple[np.ndarray, np.ndarray]:
    entries = asset_entries(
        "a machine", np.array([machines]), AssetTerms(**{k: np.array([v]) for k, v in terms.items()}), basis="a test"
    )
    return cash_usd(entries)[0], pnl_usd(entries)[0]


def test_hardware_sold_after_three_of_four_years_at_book_value() -> None:
    cash, pnl = asset([1.0] * 36, price_usd=8760.0, life_months=48.0, residual_frac=0.0, resale_frac_of_book=1.0)
    assert cash[0] == 8760.0
    assert cash[36] == pytest.approx(-2190.0)  # 12 of 48 months are left: a quarter of the price
    assert pnl[1:] == pytest.approx([182.5] * 36)
    assert cash.sum() == pytest.approx(pnl.sum()) == pytest.approx(6570.0)


def test_hardware_sold_below_book_value_loses_the_rest_in_the_last_month() -> None:
    cash, pnl = asset([1.0] * 36, price_usd=8760.0, life_months=48.0, residual_frac=0.0, resale_frac_of_book=0.6)
    assert cash[36] == pytest.approx(-0.6 * 2190.0)
    assert pnl[36] == pytest.approx(182.5 + 0.4 * 2190.0)


def test_a_machine_is_replaced_at_the_end_of_its_life() -> None:
    cash, pnl = asset([1.0] * 5, price_usd=100.0, life_months=2.0, residual_frac=0.2, resale_frac_of_book=1.0)
    # bought in months 0, 2 and 4; sold for 20 in 2 and 4, for 60 (half through its life) in 5
    assert cash.tolist() == pytest.approx([100.0, 0.0, 80.0, 0.0, 80.0, -60.0])
    assert pnl.tolist() == pytest.approx([0.0, 40.0, 40.0, 40.0, 40.0, 40.0])


def test_growth_buys_the_month_before_it_serves() -> None:
    cash, pnl = asset([1.0, 1.0, 3.0], price_usd=100.0, life_months=10.0, residual_frac=0.0, resale_frac_of_book=0.0)
    assert cash.tolist() == pytest.approx([100.0, 0.0, 200.0, 0.0])
    assert pnl.tolist() == pytest.approx([0.0, 10.0, 10.0, 30.0 + 70.0 + 2 * 90.0])


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=60),
    st.floats(1.0, 1e5),
    st.integers(1, 80),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
)
def test_cash_and_pnl_agree_over_the_life(
    added: list[int], price: float, life: int, residual: float, resale: float
) -> None:
    cash, pnl = asset(
        np.cumsum(added).astype(float).tolist(),
        price_usd=price,
        life_months=float(life),
        residual_frac=residual,
        resale_frac_of_book=resale,
    )
    assert cash.sum() == pytest.approx(pnl.sum(), rel=1e-9, abs=1e-6)


def test_a_rented_machine_costs_the_full_rent_at_thirty_percent_utilisation() -> None:
    worlds = each_at(draws_from([WORLD]), "requests_per_day", [0.3 * 86_400, 86_400])
    idle, busy = (entry[:, 1] for entry in [ledger(RENT, frame(spare=0), worlds)[0].cash_usd][0][:, np.newaxis])
    assert idle[0] == busy[0] == pytest.approx(730 * 0.5)


def test_an_announced_rise_is_paid_from_its_month_on() -> None:
    priced = api(3, [1e-4, 2e-4, 2e-4])
    cash = cash_usd(ledger(priced, frame(3), draws_from([WORLD])))[0]
    requests = 86_400 * 730 / 24
    assert cash.tolist() == pytest.approx([0.0, requests * 1e-4, requests * 2e-4, requests * 2e-4])


def test_without_traffic_the_api_is_free_and_the_fleet_is_not() -> None:
    nothing = draws_from([WORLD | {"requests_per_day": 0.0}])
    assert cash_usd(ledger(api(36), frame(), nothing)).sum() == 0.0
    rent = cash_usd(ledger(RENT, frame(), nothing))[0]
    assert rent[1] == pytest.approx(730 * 0.5 + 5000.0)  # the spare replica and the staff stay


@pytest.mark.parametrize("option", [api(36), RENT, OWN], ids=["api", "rent", "own"])
@settings(max_examples=25)
@given(factor=st.floats(1.0, 5.0), volume=st.floats(1e3, 1e6), growth=st.floats(0.0, 0.1))
def test_more_traffic_never_costs_less(option: Option, factor: float, volume: float, growth: float) -> None:
    world = draws_from([WORLD | {"growth_frac_per_month": growth}])
    low, high = levelised_cost_usd_per_month(
        option, frame(), each_at(world, "requests_per_day", [volume, volume * factor])
    )
    assert low <= high * (1 + 1e-12)


@pytest.mark.parametrize("option", [api(36), RENT, OWN], ids=["api", "rent", "own"])
@given(growth=st.floats(-0.05, 0.1), life=st.floats(1.0, 6.0))
def test_cash_and_pnl_of_every_option_agree_over_the_horizon(option: Option, growth: float, life: float) -> None:
    entries = ledger(option, frame(), draws_from([WORLD | {"growth_frac_per_month": growth, "o/life_years": life}]))
    assert cash_usd(entries).sum() == pytest.approx(pnl_usd(entries).sum(), rel=1e-9)


@pytest.mark.parametrize("option", [api(24), RENT, OWN], ids=["api", "rent", "own"])
def test_many_worlds_at_once_equal_one_by_one(option: Option) -> None:
    rows = [WORLD, WORLD | {"requests_per_day": 5e5, "growth_frac_per_month": 0.04, "o/life_years": 1.0}]
    together = levelised_cost_usd_per_month(option, frame(24, scale_by_hour=True), draws_from(rows))
    alone = [levelised_cost_usd_per_month(option, frame(24, scale_by_hour=True), draws_from([row]))[0] for row in rows]
    assert together.tolist() == pytest.approx(alone, rel=1e-12)


@pytest.mark.parametrize("option", [api(12), RENT, OWN], ids=["api", "rent", "own"])
def test_every_price_twice_is_every_cost_twice(option: Option) -> None:
    doubled = {name: 2 * value if "usd" in name else value for name, value in WORLD.items()}
    if isinstance(option, ApiOption):
        twice: Option = dataclasses.replace(option, usd_per_request=2 * option.usd_per_request)
    else:
        twice = option
    once = cash_usd(ledger(option, frame(12), draws_from([WORLD])))
    assert cash_usd(ledger(twice, frame(12), draws_from([doubled]))) == pytest.approx(2 * once)


def test_the_lines_are_the_entries() -> None:
    entries = ledger(OWN, frame(), draws_from([WORLD]))
    lines = list(cost_lines("o", entries, "2026-12"))
    assert sum(line.cash_usd for line in lines) == pytest.approx(float(cash_usd(entries).sum()))
    assert sum(line.pnl_usd for line in lines) == pytest.approx(float(pnl_usd(entries).sum()))
    assert [line.month for line in lines] == sorted(line.month for line in lines)
    for line in lines:
        assert line.quantity * line.unit_price_usd == pytest.approx(
            line.cash_usd if line.category != "depreciation" else line.pnl_usd
        )


def test_cached_input_is_interpolated_between_the_priced_levels() -> None:
    two = dataclasses.replace(
        api(1),
        cached_levels=(0.0, 0.5),
        tokens_per_request=np.full((1, 2, 1), 1000.0),
        usd_per_request=np.array([[[1e-4], [6e-5]]]),
    )
    worlds = each_at(draws_from([WORLD]), "cached_input_frac", [0.0, 0.25, 0.5])
    requests = 86_400 * 730 / 24
    costs = cash_usd(ledger(two, frame(1), worlds))[:, 1] / requests
    assert costs.tolist() == pytest.approx([1e-4, 8e-5, 6e-5])


def test_month_names_roll_over_the_year() -> None:
    assert [period_start("2026-11", month) for month in (0, 1, 2, 3)] == [
        "2026-11-01", "2026-11-01", "2026-12-01", "2027-01-01",
    ]  # fmt: skip


def test_a_world_is_a_row() -> None:
    worlds: Draws = draws_from([{"a": 1.0}, {"a": 2.0}])
    assert worlds.column("a").shape == (2, 1)


def test_only_rent_by_the_hour_follows_the_load() -> None:
    worlds = draws_from([WORLD])
    following = frame(1, scale_by_hour=True)
    fixed = dataclasses.replace(following, rules=FleetRules(scale_by_hour=False))
    reserved = dataclasses.replace(RENT, offer=dataclasses.replace(RENT.offer, term=Term.RESERVED))
    rent = {
        name: float(cash_usd(ledger(option, within, worlds)[:1]).sum())
        for name, option, within in (
            ("following", RENT, following),
            ("fixed", RENT, fixed),
            ("reserved", reserved, following),
        )
    }
    assert rent["following"] < rent["fixed"] == rent["reserved"]


def test_a_reservation_is_kept_when_the_traffic_falls() -> None:
    falling = draws_from([WORLD | {"requests_per_day": 3 * 86_400.0, "growth_frac_per_month": -0.4}])
    reserved = dataclasses.replace(RENT, offer=dataclasses.replace(RENT.offer, term=Term.RESERVED))
    assert ledger(RENT, frame(3), falling)[0].quantity[0].tolist() == pytest.approx([0.0, 2920.0, 2190.0, 2190.0])
    assert ledger(reserved, frame(3), falling)[0].quantity[0].tolist() == pytest.approx([0.0, 2920.0, 2920.0, 2920.0])


def test_a_minimum_term_longer_than_the_horizon_is_paid_to_its_end() -> None:
    """One machine and its spare at 0.50 USD/h for 36 months, planned for 24: 2 * 365 USD * 36 in all."""
    long = dataclasses.replace(RENT, offer=dataclasses.replace(RENT.offer, term=Term.RESERVED, min_term_months=36))
    entries = [e for e in ledger(long, frame(24), draws_from([WORLD])) if e.category in ("rent", "exit")]
    assert cash_usd(entries).sum() == pytest.approx(2 * 365 * 36)
    assert cash_usd(entries)[0, 24] == pytest.approx(2 * 365 * 13)
    kept = [e for e in ledger(long, frame(36), draws_from([WORLD])) if e.category in ("rent", "exit")]
    assert cash_usd(kept).sum() == pytest.approx(2 * 365 * 36)
