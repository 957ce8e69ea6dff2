"""Base fleet and overflow: a published case to the thousand dollars, and laws."""

import numpy as np
import pytest
from cost_case import CURVE, OWN, RENT, WORLD, api
from hypothesis import given
from hypothesis import strategies as st

from planner.capacity.fleet import Week, overflow_frac, week_of
from planner.capacity.staircase import CapacityCurve, FleetRules
from planner.cost.draws import draws_from
from planner.cost.ledger import base_and_overflow, ledger, levelised_cost_usd_per_month
from planner.cost.options import ApiOption, Frame, HybridOption, RentOption, StagedOption
from planner.cost.schedule import cash_usd, pnl_usd
from planner.mixes.hybrid import best_hybrid, best_staged
from planner.workload import flat_week
from pricing.hardware import rental_offer

SECONDS_PER_MONTH = 730 * 3600


def test_the_published_hybrid_case() -> None:
    """583 G tokens a month at 0.317 USD per million are 184.8 k USD at the API; four replicas at 17,520 USD a month
    that leave 303 G tokens to the API make 70.1 + 96.1 = 166.1 k USD, 10 % less.

    Four replicas serve 280 G: here 4 times 70 G a month, all week, and half of the hours want exactly that much and the
    other half the rest, 886 G a month. A fifth replica would displace 70 G in half of the hours, 35 G * 0.317 =
    11.1 k USD, for 17.5 k; the fourth displaces 70 G, 22.2 k USD. So four is also the best number.
    """
    tokens_per_request = 1_000.0
    replica_per_s = 70e9 / tokens_per_request / SECONDS_PER_MONTH
    curve = CapacityCurve(
        replicas=tuple(range(1, 21)),
        max_requests_per_s=tuple(n * replica_per_s for n in range(1, 21)),
        busy_s_per_request=1 / replica_per_s,
        requests_outside_hull_frac=0.0,
    )
    tokens = ApiOption(
        id="tokens",
        matched_model="tokens",
        source="a published case",
        source_url=None,
        kinds=("input",),
        cached_levels=(0.0,),
        tokens_per_request=np.full((1, 1, 12), tokens_per_request),
        usd_per_request=np.full((1, 1, 12), tokens_per_request * 0.317e-6),
    )
    replica = RentOption(id="r", offer=rental_offer("aws-c7a-large"), curve=curve)
    week = Week(weights=(280 / 583, 886 / 583), hours=(84, 84))
    frame = Frame(horizon_months=12, week=week, rules=FleetRules())
    per_day = 583e9 / tokens_per_request / SECONDS_PER_MONTH * 86_400
    mid = draws_from([WORLD | {"requests_per_day": per_day, "staff_fte": 0.0, "r/usd_per_h": 17_520 / 730}])

    all_api = levelised_cost_usd_per_month(tokens, frame, mid)[0]
    best = best_hybrid([replica], [tokens], frame, mid)
    assert all_api == pytest.approx(583e3 * 0.317)  # 184,811
    assert best is not None
    assert best.machines == 4
    mixed = levelised_cost_usd_per_month(best, frame, mid)[0]
    assert mixed == pytest.approx(4 * 17_520 + 303e3 * 0.317)  # 166,131
    assert 1 - mixed / all_api == pytest.approx(0.10, abs=0.002)
    assert base_and_overflow(best, frame, mid)[0, 0] == pytest.approx(303 / 583)


def test_a_quarter_overflows() -> None:
    week = Week(weights=(0.5, 1.5), hours=(84, 84))
    two_per_s = CapacityCurve(
        replicas=(1,), max_requests_per_s=(2.0,), busy_s_per_request=0.5, requests_outside_hull_frac=0.0
    )
    assert overflow_frac(two_per_s, np.array([2.0]), np.ones(1), week)[0] == pytest.approx(0.25)
    assert overflow_frac(two_per_s, np.array([0.0]), np.ones(1), week)[0] == 0.0


@pytest.mark.parametrize("host", [RENT, OWN], ids=["rent", "own"])
@given(machines=st.integers(1, 8), volume=st.floats(1e4, 1e6))
def test_a_hybrid_lies_between_its_parts(host: RentOption, machines: int, volume: float) -> None:
    """Its API part is never more than all tokens, its own part never more than that many machines would cost busy."""
    frame = Frame(horizon_months=12, week=week_of(flat_week()), rules=FleetRules())
    mid = draws_from([WORLD | {"requests_per_day": volume}])
    tokens = api(12)
    entries = ledger(HybridOption(host=host, api=tokens, machines=machines), frame, mid)
    bought = sum(float(e.cash_usd.sum()) for e in entries if e.category == "API")
    everything = float(cash_usd(ledger(tokens, frame, mid)).sum())
    share = float(base_and_overflow(HybridOption(host=host, api=tokens, machines=machines), frame, mid)[0, 0])
    assert 0.0 <= share <= 1.0
    assert bought == pytest.approx(share * everything)


def test_without_overflow_it_is_the_fleet_without_its_spare() -> None:
    frame = Frame(horizon_months=12, week=week_of(flat_week()), rules=FleetRules(spare_replicas=0))
    mid = draws_from([WORLD])  # 1 request/s, one replica holds it
    mixed = levelised_cost_usd_per_month(HybridOption(host=RENT, api=api(12), machines=1), frame, mid)
    assert CURVE.max_requests_per_s[0] == 1.0
    assert mixed[0] == pytest.approx(levelised_cost_usd_per_month(RENT, frame, mid)[0])


def test_one_side_alone_cannot_be_mixed() -> None:
    frame = Frame(horizon_months=12, week=week_of(flat_week()), rules=FleetRules())
    assert best_hybrid([], [api(12)], frame, draws_from([WORLD])) is None
    assert best_hybrid([RENT], [], frame, draws_from([WORLD])) is None


ROOMY = CapacityCurve(
    replicas=(1,), max_requests_per_s=(100.0,), busy_s_per_request=0.01, requests_outside_hull_frac=0.0
)


def test_tokens_first_and_a_machine_when_the_traffic_has_grown() -> None:
    """Tokens cost 200, 400, 800 and 1,600 USD as the traffic doubles, a machine 500 a month: change after month 2.

    200 + 400 + 500 + 500 = 1,600 against 3,000 of tokens and 2,000 of rent; no other month gives less.
    """
    host = RentOption(id="r", offer=rental_offer("aws-c7a-large"), curve=ROOMY)
    frame = Frame(horizon_months=4, week=week_of(flat_week()), rules=FleetRules(spare_replicas=0))
    changed = {"requests_per_day": 2e6 * 24 / 730, "growth_frac_per_month": 1.0, "discount_rate_frac_per_year": 0.0}
    mid = draws_from([WORLD | changed | {"staff_fte": 0.0, "r/usd_per_h": 500 / 730}])
    best = best_staged([host], [api(4)], frame, mid)
    assert best is not None
    assert best.api_months == 2
    assert cash_usd(ledger(best, frame, mid))[0].tolist() == pytest.approx([0.0, 200.0, 400.0, 500.0, 500.0])


@pytest.mark.parametrize("months", [1, 5])
def test_what_is_owned_later_is_bought_later_and_cash_still_equals_pnl(months: int) -> None:
    frame = Frame(horizon_months=12, week=week_of(flat_week()), rules=FleetRules())
    mid = draws_from([WORLD])
    entries = ledger(StagedOption(api=api(12), host=OWN, api_months=months), frame, mid)
    bought = next(entry for entry in entries if entry.category == "purchase")
    assert np.flatnonzero(bought.cash_usd[0]).tolist() == [months]
    assert cash_usd(entries).sum() == pytest.approx(pnl_usd(entries).sum())
    tokens = sum(entry.cash_usd[0] for entry in entries if entry.category == "API")
    assert np.flatnonzero(tokens).tolist() == list(range(1, months + 1))


def test_a_single_month_has_no_later() -> None:
    frame = Frame(horizon_months=1, week=week_of(flat_week()), rules=FleetRules())
    assert best_staged([RENT], [api(1)], frame, draws_from([WORLD])) is None
    assert best_staged([], [api(1)], frame, draws_from([WORLD])) is None
