"""The fan of cash against sums on paper, the plan's own schedule, and the probability that the plan states."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_case import SCENARIO, write_case

from planner.analysis.fan import cash_fan
from planner.analysis.risk import draw_worlds
from planner.charts.risk import cash_difference_chart, cash_fan_chart, payback_said
from planner.decision.decide import make_plan, size_fleets
from planner.decision.plan import Plan
from planner.scenario.inputs import PlanInputs
from planner.scenario.load import load_inputs
from planner.scenario.tables import figure

DRAWS = 20_000
LINEAR = (
    SCENARIO.replace("throughput_ratio = 1", "throughput_ratio = 1\nresale_frac_of_book_value = 1\n")
    .replace("requests_per_day = 216_000", "requests_per_day = 864_000")
    .replace("[assumptions]", f"[sampling]\ndraws = {DRAWS}\n\n[assumptions]")
)
"""Only the staff is uncertain. At 864,000 requests/day owning buys 6 machines for 15,840 USD and then costs 411.60 USD
a month and 10,000 USD for each FTE; the API costs 3,957.768 (worked in test_worked_example.py)."""


def planned(inputs: PlanInputs) -> Plan:
    return make_plan(inputs, size_fleets(inputs))


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return planned(load_inputs(write_case(tmp_path_factory.mktemp("fan"), LINEAR)))


def test_by_hand() -> None:
    """Tokens cost 40 or 60 a month, a machine 100 at once and 10 a month: ahead after 2 months at 60, after 4 at 40.

    After month 2 the tokens are 80 or 120 and the machine 120; percentiles of two values lie on the line between.
    """
    tokens = np.array([[0.0, 40.0, 40.0, 40.0], [0.0, 60.0, 60.0, 60.0]])
    machine = np.array([[100.0, 10.0, 10.0, 10.0]] * 2)
    fan = cash_fan("api", "host", tokens, machine)
    assert fan.host_usd.p10 == fan.host_usd.p90 == (100.0, 110.0, 120.0, 130.0)
    assert fan.api_usd.p50 == (0.0, 50.0, 100.0, 150.0)
    assert fan.api_usd.p10[2] == pytest.approx(84.0)
    assert fan.api_usd.p90[2] == pytest.approx(116.0)
    assert fan.difference_usd.p50 == (100.0, 60.0, 20.0, -20.0)
    assert fan.median_payback_month == pytest.approx(2.5)
    assert (fan.ever_ahead_frac, fan.ahead_at_end_frac) == (0.5, 0.5)


def test_ahead_for_a_while_is_not_ahead_at_the_end() -> None:
    """A machine that is replaced in month 3: two months behind, ahead after the second, behind again."""
    tokens = np.array([[0.0, 60.0, 60.0, 60.0]])
    machine = np.array([[100.0, 0.0, 0.0, 100.0]])
    fan = cash_fan("api", "host", tokens, machine)
    assert fan.difference_usd.p50 == (100.0, 40.0, -20.0, 20.0)
    assert (fan.median_payback_month, fan.ever_ahead_frac, fan.ahead_at_end_frac) == (None, 1.0, 0.0)


def test_without_uncertainty_it_is_the_plans_own_cash(tmp_path: Path) -> None:
    """Every assumption at its mid and no price steps: every draw is the plan's own month-by-month cash."""
    inputs = load_inputs(write_case(tmp_path))
    mids = {a.name: figure(a.value.mid) for a in planned(inputs).assumptions}
    still = dict.fromkeys(("api_price_steps_per_year", "rental_price_steps_per_year"), figure(0.0))
    scenario = dataclasses.replace(inputs.scenario, assumptions={**mids, **still})
    plan = planned(dataclasses.replace(inputs, scenario=scenario))
    assert all(a.value.low == a.value.high for a in plan.assumptions)
    fan = plan.risk.fan
    assert fan is not None
    assert plan.best_api is not None
    assert plan.best_self_host is not None
    assert (fan.api, fan.host) == (plan.best_api.id, plan.best_self_host.id)
    for band, option in ((fan.api_usd, plan.best_api), (fan.host_usd, plan.best_self_host)):
        spent = list(itertools.accumulate(option.cash_by_month_usd))
        assert spent[-1] == pytest.approx(option.cash_total_usd)
        for percentile in (band.p10, band.p50, band.p90):
            assert percentile == pytest.approx(spent, abs=0.005)


def test_one_uncertain_assumption_on_paper(linear: Plan) -> None:
    """Owning has paid 15,840 + m (411.60 + 10,000 f) by month m, which grows with the FTE f: its percentiles are those
    of f, 0.05, 0.1 and 0.3. The API's are all 3,957.768 m. The median owner is ahead after
    15,840 / (3,957.768 - 1,411.60) = 6.2211 months. In month 48 all machines are sold at a book value of 0.
    """
    fan = linear.risk.fan
    assert fan is not None
    assert fan.host == "cpu-1p-8c"
    drawn = draw_worlds(linear.assumptions, DRAWS, 1, months=48).values["staff_fte"]
    for percentile, share, staff in (("p10", 0.1, 0.05), ("p50", 0.5, 0.1), ("p90", 0.9, 0.3)):
        assert getattr(fan.api_usd, percentile) == pytest.approx([3957.768 * month for month in range(49)])
        owned = getattr(fan.host_usd, percentile)
        sample = float(np.quantile(drawn, share))
        assert sample == pytest.approx(staff, rel=0.03)
        assert owned == pytest.approx([15_840 + month * (411.60 + 10_000 * sample) for month in range(49)], rel=1e-6)
    assert fan.median_payback_month == pytest.approx(15_840 / 2_546.168, rel=0.005)


def test_at_a_discount_rate_of_zero_the_last_month_is_the_stated_probability(linear: Plan) -> None:
    """Cash added up is the levelised cost times the months where money has no price; that is another figure at 10 %."""
    fan = linear.risk.fan
    assert fan is not None
    assert fan.ahead_at_end_frac == linear.risk.self_host_cheaper_frac
    assert 0.5 < fan.ahead_at_end_frac < 1.0
    assert linear.risk.payback is not None
    assert fan.ahead_at_end_frac == linear.risk.payback.found_frac


def test_money_with_a_price_makes_owning_win_less_often_than_its_cash(tmp_path: Path) -> None:
    """Owning pays first and saves later, so discounting can only take wins away; both figures are from one plan."""
    scenario = LINEAR.replace("discount_rate_frac_per_year = 0", "discount_rate_frac_per_year = 0.1")
    risk = planned(load_inputs(write_case(tmp_path, scenario))).risk
    assert risk.fan is not None
    assert risk.self_host_cheaper_frac is not None
    assert risk.self_host_cheaper_frac < risk.fan.ahead_at_end_frac


@given(st.integers(0, 2**31), st.integers(1, 24), st.integers(1, 60))
def test_percentiles_ascend_and_who_is_ahead_at_the_end_has_been_ahead(seed: int, months: int, worlds: int) -> None:
    random = np.random.default_rng(seed)
    tokens, machine = random.normal(50.0, 20.0, (2, worlds, months + 1))
    fan = cash_fan("api", "host", tokens, machine)
    for band in (fan.api_usd, fan.host_usd, fan.difference_usd):
        assert len(band.p50) == months + 1
        for p10, p50, p90 in zip(band.p10, band.p50, band.p90, strict=True):
            assert p10 <= p50 <= p90
    assert fan.ahead_at_end_frac <= fan.ever_ahead_frac
    assert (fan.median_payback_month is not None) == (fan.difference_usd.p50[-1] <= 0.0)


def test_the_charts_draw_the_bands_and_say_the_month(linear: Plan) -> None:
    fan = linear.risk.fan
    assert fan is not None
    traces = cash_fan_chart(linear).data
    assert [trace.name for trace in traces if trace.showlegend is None] == ["API: openai/gpt-4o-mini", "own: cpu-1p-8c"]
    assert traces[2].y == fan.api_usd.p50
    assert (traces[3].y, traces[4].y, traces[5].y) == (fan.host_usd.p10, fan.host_usd.p90, fan.host_usd.p50)
    assert cash_difference_chart(linear).layout.annotations[0].text == f"month {fan.median_payback_month:.1f}"
    assert f"crosses zero in month {fan.median_payback_month:.1f} for good" in payback_said(linear)


def test_one_side_alone_has_no_fan(tmp_path: Path) -> None:
    only_api = SCENARIO[: SCENARIO.index("[[candidates.rent]]")].replace('profile = "profile.json"\n', "")
    plan = planned(load_inputs(write_case(tmp_path, only_api)))
    assert plan.risk.fan is None
    assert payback_said(plan) == ""
    assert not cash_fan_chart(plan).data
