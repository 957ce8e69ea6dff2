"""Price steps, the posterior in the draws, waiting and not committing: against distributions and sums on paper."""

import dataclasses

import numpy as np
import pytest
from cost_case import RENT, WORLD, api, frame
from plan_case import ONE_AT_A_TIME, write_case

from planner.analysis.flexibility import monthly_rule, value_of_not_committing, value_of_waiting
from planner.analysis.risk import draw_worlds
from planner.cost.draws import draws_from
from planner.cost.ledger import levelised_cost_usd_per_month
from planner.cost.paths import price_factor
from planner.cost.price_paths import draw_paths
from planner.ranges import Assumption, Range
from planner.scenario.load import load_inputs
from planner.simulator.step_cost import decode_s
from planner.steptime.throughput import posterior_ratios


def test_steps_come_as_often_and_go_down_as_often_as_stated() -> None:
    """Half a step a year for 20,000 worlds over 3 years: 30,000 of them, 59 % down, each times 0.62 or 2."""
    worlds = {"api_price_steps_per_year": np.full(20_000, 0.5), "rental_price_steps_per_year": np.full(20_000, 0.5)}
    paths = draw_paths(worlds, 36, 0.5, seed=1)
    steps = np.diff(np.log(paths["api_price"]), axis=1, prepend=0.0)
    taken = steps[steps != 0.0]
    assert taken.size == pytest.approx(30_000, rel=0.03)
    assert (taken < 0).mean() == pytest.approx(41 / 69, abs=0.012)
    assert set(np.round(np.exp(taken), 6)) == {0.62, 2.0}


def test_both_prices_follow_one_market() -> None:
    """Where both step in the same month, they go the same way more often than not: 2/3 for a correlation of 0.5."""
    worlds = {f"{name}_steps_per_year": np.full(20_000, 6.0) for name in ("api_price", "rental_price")}
    paths = draw_paths(worlds, 36, 0.5, seed=1)
    api_steps, rent_steps = (np.diff(np.log(paths[n]), axis=1, prepend=0.0) for n in ("api_price", "rental_price"))
    both = (api_steps != 0) & (rent_steps != 0)
    assert (np.sign(api_steps[both]) == np.sign(rent_steps[both])).mean() == pytest.approx(2 / 3, abs=0.02)


def test_a_drawn_path_multiplies_the_drift() -> None:
    world = draws_from([WORLD | {"api_price_drift_frac_per_year": 0.21}])
    path = np.array([[1.0] * 12 + [2.0] * 12])
    stepped = dataclasses.replace(world, paths={"api_price": path})
    assert price_factor("api_price", frame(24), stepped)[0, 12] == pytest.approx(2.0 * 1.21)


def test_the_draws_hold_the_posterior_and_the_rest_of_the_error() -> None:
    """A posterior at 0.9 or 1.1 under a range of 10 % keeps next to nothing for other errors; of 40 % a lot."""
    for end, spread in ((1.1, 0.12), (1.4, 0.35)):
        belief = Assumption(
            name="throughput_ratio", value=Range(low=2 - end, mid=1.0, high=end), unit="1", source="", as_of=""
        )
        drawn = draw_worlds([belief], 20_000, seed=1, posterior=(0.9, 1.0, 1.1)).values["throughput_ratio"]
        inside = np.quantile(drawn, [0.1, 0.9])
        assert np.ptp(inside) / 2 == pytest.approx(end - 1.0, abs=0.1 * end)
        assert drawn.std() < spread


def test_a_slower_step_time_serves_fewer_requests(tmp_path: object) -> None:
    """The replica spends 1 ms a prompt token and nothing else: 1.25 ms a token serve 0.8 times as many."""
    best = ONE_AT_A_TIME.fit.step_time
    slow = dataclasses.replace(best, per_prefill_token_s=0.00125)
    fit = dataclasses.replace(ONE_AT_A_TIME.fit, posterior=(best, slow))
    inputs = load_inputs(write_case(tmp_path))  # type: ignore[arg-type]
    assert decode_s(best, 1) == 0.0
    found = posterior_ratios(dataclasses.replace(ONE_AT_A_TIME, fit=fit), inputs.workload)
    assert found == pytest.approx((1.0, 0.8))
    assert posterior_ratios(ONE_AT_A_TIME, inputs.workload) == ()


def test_the_monthly_rule_on_paper() -> None:
    cash, changes = monthly_rule(
        np.array([[1.0, 3.0, 3.0, 1.0]]),
        np.array([[2.0, 2.0, 2.0, 2.0]]),
        to_host_usd=np.array([1.5]),
        to_api_usd=np.array([0.0]),
    )
    assert cash.tolist() == [[0.0, 1.0 + 1.5, 2.0, 2.0, 1.0]]
    assert changes.tolist() == [2.0]


def test_waiting_is_worth_what_it_saves_and_costs_what_it_delays() -> None:
    """12 months of 30; a rent of 365 or 1,095 a month against tokens of 730 (2,400 requests/day at 0.01).

    Today the mean of both is 730. Who waits 3 months pays 730 for these and then 365 or 730: without interest
    (3 * 730 + 9 * 365) / 12 = 456.25 or 730, 593.125 in the mean: 136.875 a month less.
    """
    rule = dataclasses.replace(frame(12, spare=0))
    base = WORLD | {"staff_fte": 0.0, "discount_rate_frac_per_year": 0.0, "requests_per_day": 2_400.0}
    worlds = draws_from([base | {"r/usd_per_h": 0.5}, base | {"r/usd_per_h": 1.5}])
    tokens = api(12, [0.01] * 12)
    api_cost, host_cost = (levelised_cost_usd_per_month(o, rule, worlds) for o in (tokens, RENT))
    assert api_cost.tolist() == pytest.approx([730.0, 730.0])
    assert host_cost.tolist() == pytest.approx([365.0, 1095.0])
    found = value_of_waiting(tokens, RENT, rule, worlds, api_cost, 730.0)
    assert found is not None
    assert (found.months, found.worth_usd_per_month) == (3, pytest.approx(136.875))


def test_giving_machines_back_is_worth_the_better_side_in_each_world() -> None:
    """The same two worlds: the rule rents where it is cheap and buys where it is not, from month 1: 547.50 for 730."""
    rule = frame(12, spare=0)
    base = WORLD | {"staff_fte": 0.0, "discount_rate_frac_per_year": 0.0, "requests_per_day": 2_400.0}
    worlds = draws_from([base | {"r/usd_per_h": 0.5}, base | {"r/usd_per_h": 1.5}])
    found = value_of_not_committing(api(12, [0.01] * 12), RENT, rule, worlds, 730.0)
    assert found.worth_usd_per_month == pytest.approx(730.0 - (365.0 + 730.0) / 2)
    assert found.changed_frac == 0.0
