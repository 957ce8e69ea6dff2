"""Draws against the percentiles they promise, and probabilities against the normal distribution."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_case import SCENARIO, write_case

from planner.analysis.risk import at_normal, draw_worlds, value_of_knowing
from planner.decision.decide import make_plan, size_fleets
from planner.ranges import Assumption, Range
from planner.scenario.load import load_inputs

DRAWS = 20_000
TOLERANCE = 4 * math.sqrt(0.1 * 0.9 / DRAWS)  # of a share near 10 %: four standard errors


def believed(name: str, low: float, mid: float, high: float) -> Assumption:
    return Assumption(
        name=name, value=Range(low=low, mid=mid, high=high), unit="1", source="a test", as_of="2026-11-20"
    )


def phi(z: float) -> float:
    return 0.5 * (1.0 + math.erf(z / math.sqrt(2.0)))


@pytest.mark.parametrize(("low", "mid", "high"), [(1.0, 2.0, 8.0), (-0.5, -0.1, 0.3), (0.0, 0.5, 0.6), (3.0, 3.0, 4.0)])
def test_low_mid_and_high_are_the_10th_50th_and_90th_percentile(low: float, mid: float, high: float) -> None:
    values = draw_worlds([believed("anything", low, mid, high)], DRAWS, seed=1).values["anything"]
    assert (values < low).mean() == pytest.approx(0.1 if low < mid else 0.0, abs=TOLERANCE)
    assert (values < mid).mean() == pytest.approx(0.5 if low < mid else 0.0, abs=2 * TOLERANCE)
    assert (values > high).mean() == pytest.approx(0.1, abs=TOLERANCE)


@given(st.floats(0.01, 10.0), st.floats(1.0, 5.0), st.floats(1.0, 5.0), st.floats(-5.0, 5.0))
def test_a_positive_figure_stays_positive(low: float, up: float, further: float, z: float) -> None:
    assert at_normal(Range(low=low, mid=low * up, high=low * up * further), np.array([z]))[0] > 0.0


def test_what_cannot_be_is_not_drawn() -> None:
    values = draw_worlds([believed("cached_input_frac", 0.0, 0.5, 0.9)], DRAWS, seed=1).values["cached_input_frac"]
    assert values.min() == 0.0
    assert values.max() == 1.0


def test_the_same_seed_draws_the_same_and_a_new_assumption_disturbs_no_other() -> None:
    one, two = believed("one", 1.0, 2.0, 3.0), believed("two", 1.0, 2.0, 3.0)
    alone = draw_worlds([one], 100, seed=7).values["one"]
    together = draw_worlds([two, one], 100, seed=7)
    assert together.values["one"].tolist() == alone.tolist()
    assert together.values["two"].tolist() != alone.tolist()
    assert draw_worlds([one], 100, seed=8).values["one"].tolist() != alone.tolist()


def test_prices_of_one_market_move_together_and_others_do_not() -> None:
    names = ("a/usd_per_h", "rental_price_drift_frac_per_year", "staff_fte")
    worlds = draw_worlds([believed(name, -1.0 if "drift" in name else 1.0, 2.0, 4.0) for name in names], DRAWS, seed=3)
    rank = np.corrcoef([worlds.values[name].argsort().argsort() for name in names])
    expected = 6 / math.pi * math.asin(0.5 / 2)  # Spearman's rho of a normal copula with correlation 0.5
    assert rank[0, 1] == pytest.approx(expected, abs=0.03)
    assert abs(rank[0, 2]) < 0.03


def test_knowing_a_coin_is_worth_half_of_what_it_decides() -> None:
    coin = np.array([0.0, 1.0] * 500)
    nothing = np.zeros(1000)
    assert value_of_knowing(coin, np.stack([np.where(coin > 0, 100.0, -100.0), nothing])) == pytest.approx(50.0)
    assert value_of_knowing(coin, np.stack([np.full(1000, 30.0), nothing])) == 0.0
    assert (
        value_of_knowing(coin, np.stack([np.where(coin > 0, 100.0, 20.0), nothing])) == 0.0
    )  # the choice is the same either way


def test_probability_and_spread_on_paper(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Only the staff is uncertain: owning costs 242.6375 + 10,000 f a month, the API 989.442; they meet at f = 0.07468.

    Below its mid of 0.1 the staff is geometric, 0.05 at the 10th percentile: z = 1.2816 ln(0.7468) / ln(2) = -0.5398
    and P(self-hosting is cheaper) = phi(-0.5398) = 29.5 %. P10 and P90 of the difference are those of the staff:
    742.6375 - 989.442 = -246.8 and 3,242.6375 - 989.442 = 2,253.2.
    """
    scenario = SCENARIO.replace(
        "throughput_ratio = 1", "throughput_ratio = 1\nresale_frac_of_book_value = 1\n"
    ).replace("[assumptions]", f"[sampling]\ndraws = {DRAWS}\n\n[assumptions]")
    inputs = load_inputs(write_case(tmp_path_factory.mktemp("risk"), scenario))
    risk = make_plan(inputs, size_fleets(inputs)).risk
    threshold = (989.442 - 242.6375) / 10_000
    share = phi(1.2815515655446004 * math.log(threshold / 0.1) / math.log(2.0))
    assert share == pytest.approx(0.2947, abs=5e-4)
    assert risk.self_host_cheaper_frac == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / DRAWS))
    assert risk.difference_usd_per_month is not None
    assert risk.difference_usd_per_month.p10 == pytest.approx(-246.8, abs=10.0)
    assert risk.difference_usd_per_month.p90 == pytest.approx(2253.2, abs=60.0)
    assert risk.worth_knowing[0].name == "staff_fte"
    assert {known.worth_usd_per_month for known in risk.worth_knowing[1:]} == {0.0}
    assert sum(option.cheapest_frac for option in risk.options) == pytest.approx(1.0)
    assert min(option.mean_regret_usd_per_month for option in risk.options) >= 0.0


def test_how_often_the_fleet_of_the_mid_case_is_enough(tmp_path_factory: pytest.TempPathFactory) -> None:
    """2.5/s need 3 replicas and get 4, which hold about 4/s: enough while 4 r >= 2.5, so for a throughput ratio r of
    0.625 and more. With 0.5 at the 10th percentile and 1 at the middle, z = 1.2816 ln(0.625) / ln(2) = -0.869 and
    phi(0.869) = 80.8 % of the draws. The capacity search rounds 4/s down by up to 1 %, which moves z by 0.018.
    """
    scenario = SCENARIO.replace("throughput_ratio = 1", "throughput_ratio = { low = 0.5, mid = 1, high = 2 }").replace(
        "[assumptions]", f"[sampling]\ndraws = {DRAWS}\n\n[assumptions]"
    )
    inputs = load_inputs(write_case(tmp_path_factory.mktemp("slo"), scenario))
    plan = make_plan(inputs, size_fleets(inputs))
    held = {option.id: option.slo_held_frac for option in plan.risk.options}
    assert held["openai/gpt-4o-mini"] is None
    assert held["aws-c7a-large"] == held["cpu-1p-8c"] == pytest.approx(phi(0.869), abs=0.018)
