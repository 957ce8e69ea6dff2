"""Cases of the trade with the arithmetic visible; the first is published, the others are what calculators get wrong."""

from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from cost_case import CURVE, RENT, WORLD, api, frame

from planner.analysis.breakeven import crossings, search_volumes
from planner.analysis.compare import difference_of, staircase_edges
from planner.capacity.fleet import Week
from planner.capacity.staircase import CapacityCurve, FleetRules
from planner.cost.commitments import Promises
from planner.cost.draws import draws_from
from planner.cost.ledger import ledger, levelised_cost_usd_per_month
from planner.cost.options import ApiOption, Frame, HybridOption, RentOption
from planner.cost.schedule import AssetTerms, asset_entries, cash_usd, pnl_usd
from pricing.commitments import MinimumSpend
from pricing.hardware import rental_offer
from pricing.layers import Note

FREE = WORLD | {"staff_fte": 0.0, "discount_rate_frac_per_year": 0.0}
SECONDS_PER_MONTH = 730 * 3600


def test_a_published_hybrid() -> None:
    """583 G tokens a month at 0.317 USD/M: 583,000 * 0.317 = 184,811. Four replicas at 17,520 = 70,080 that leave
    303 G: 303,000 * 0.317 = 96,051; together 166,131, which is 10.1 % less.

    Half of the hours want what four replicas hold, 280 G a month, the other half the rest of 2 * 583 G.
    """
    one_replica = 70e9 / SECONDS_PER_MONTH / 1_000  # requests of 1,000 tokens a second
    curve = CapacityCurve(
        replicas=(1, 2, 3, 4),
        max_requests_per_s=tuple(n * one_replica for n in (1, 2, 3, 4)),
        busy_s_per_request=1 / one_replica,
        requests_outside_hull_frac=0.0,
    )
    host = RentOption(id="r", offer=rental_offer("aws-c7a-large"), curve=curve)
    tokens = api(12, [1_000 * 0.317e-6] * 12)
    week = Frame(horizon_months=12, week=Week(weights=(280 / 583, 886 / 583), hours=(84, 84)), rules=FleetRules())
    per_day = 583e9 / 1_000 / SECONDS_PER_MONTH * 86_400
    world = draws_from([FREE | {"requests_per_day": per_day, "r/usd_per_h": 17_520 / 730}])
    alone = levelised_cost_usd_per_month(tokens, week, world)[0]
    both = levelised_cost_usd_per_month(HybridOption(host=host, api=tokens, machines=4), week, world)[0]
    assert alone == pytest.approx(583_000 * 0.317)
    assert both == pytest.approx(4 * 17_520 + 303_000 * 0.317)
    assert round(1 - both / alone, 3) == 0.101


def test_b_a_rented_machine_at_30_percent_costs_its_full_rent() -> None:
    """1.50 USD/h * 730 h = 1,095 a month at 30 % as at 100 %; 1.50 * 730 * 30 % = 328.50 is what nobody is billed."""
    bills = [
        levelised_cost_usd_per_month(
            RENT, frame(12, spare=0), draws_from([FREE | {"r/usd_per_h": 1.5, "requests_per_day": 86_400.0 * busy}])
        )[0]
        for busy in (0.3, 1.0)
    ]
    assert bills == pytest.approx([1_095.0, 1_095.0])


def test_c_a_staircase_with_three_crossings() -> None:
    """A machine holds 1/s and costs 365 a month; 1/s costs 600 at the API. One machine pays from 365 / 600 of 86,400 a
    day on, two machines (730) do not pay just above 86,400 and do again from 730 / 600; three, 1,095, are less than
    1,200, and so are all larger fleets.
    """
    tokens, flat = api(12, [600 / SECONDS_PER_MONTH] * 12), frame(12, spare=0)
    mid = draws_from([FREE])
    volumes = search_volumes(86_400.0)
    edges = staircase_edges([RENT], flat, mid)
    fine = np.unique(np.concatenate([volumes, edges, edges * (1 + 1e-8)]))
    found = crossings(difference_of([RENT], [tokens], flat), mid, fine[fine > 0])
    at = [crossing.requests_per_day for crossing in found]
    assert at == pytest.approx([86_400 * 365 / 600, 86_400.0, 86_400 * 730 / 600], rel=1e-6)
    assert [crossing.self_host_cheaper_above for crossing in found] == [True, False, True]
    assert CURVE.max_requests_per_s[0] == 1.0


def test_d_an_announced_rise_in_month_2() -> None:
    """1/s is 2,628,000 requests a month: 262.80 at 0.0001 in month 1, 525.60 at 0.0002 from month 2 on."""
    bill = cash_usd(ledger(api(3, [1e-4, 2e-4, 2e-4]), frame(3), draws_from([FREE])))[0]
    assert bill.tolist() == pytest.approx([0.0, 262.8, 525.6, 525.6])


def test_e_a_commitment_that_is_not_used_up() -> None:
    """1,000 a month promised, 262.80 used: 737.20 more is paid each month, and the bill is 1,000."""
    why = Note(source="a contract", as_of=date(2026, 11, 20))
    promise = MinimumSpend(id="floor", targets=("a",), usd_per_month=Decimal(1000), why=why)
    starts = (date(2026, 12, 1), date(2027, 1, 1))
    plain = api(2)
    promised = ApiOption(
        **{name: getattr(plain, name) for name in plain.__slots__ if name != "promises"},
        promises=Promises(commitments=(promise,), month_starts=starts),
    )
    entries = ledger(promised, frame(2), draws_from([FREE]))
    short = next(entry for entry in entries if entry.category == "commitment")
    assert short.cash_usd[0].tolist() == pytest.approx([0.0, 737.2, 737.2])
    assert cash_usd(entries)[0].tolist() == pytest.approx([0.0, 1000.0, 1000.0])


def test_f_own_hardware_sold_after_three_of_four_years() -> None:
    """250,000 USD to a residual of 10 % over 48 months: 225,000 / 48 = 4,687.50 a month, 168,750 in 36 months.

    Book value then 81,250; sold at 60 % of it for 48,750, a loss of 32,500. Cash 250,000 - 48,750 = 201,250 =
    168,750 + 32,500 of profit and loss.
    """
    terms = AssetTerms(
        price_usd=np.array([250_000.0]),
        life_months=np.array([48.0]),
        residual_frac=np.array([0.1]),
        resale_frac_of_book=np.array([0.6]),
    )
    entries = asset_entries("8 cards", np.ones((1, 36)), terms, basis="a quote")
    cash, pnl = cash_usd(entries)[0], pnl_usd(entries)[0]
    assert (cash[0], cash[36]) == pytest.approx((250_000.0, -48_750.0))
    assert pnl[1] == pytest.approx(4_687.5)
    assert pnl[36] == pytest.approx(4_687.5 + 32_500.0)
    assert cash.sum() == pytest.approx(pnl.sum()) == pytest.approx(201_250.0)
