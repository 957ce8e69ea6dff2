"""Break-even over price, months and load, on one replica for one request a second."""

import dataclasses

import numpy as np
import pytest
from cost_case import RENT, WORLD, api, frame

from planner.analysis.breakeven import break_even, search_volumes
from planner.analysis.breakeven_views import break_even_views, busy_at, price_surface
from planner.analysis.compare import difference_of
from planner.cost.draws import draws_from
from planner.cost.options import ApiOption

FRAME = frame(12, spare=0)
MID = draws_from([WORLD | {"staff_fte": 0.0, "discount_rate_frac_per_year": 0.0, "requests_per_day": 43_200.0}])


def test_half_a_request_a_second_on_one_replica_is_half_busy() -> None:
    assert busy_at([RENT], FRAME, MID, 43_200.0).utilisation_frac == pytest.approx(0.5)
    assert busy_at([RENT], FRAME, MID, 86_400.0 * 1.5).utilisation_frac == pytest.approx(0.75)  # 1.5 on two


def test_the_price_at_which_both_cost_the_same_jumps_with_every_machine() -> None:
    """365 USD a machine-month against 1e-4 USD a request: 2,628,000 requests/month on one machine cost 262.80."""
    surface = price_surface([RENT], [api(12)], FRAME, MID, 86_400.0)
    factor = dict(zip(surface.requests_per_day, surface.break_even_factor, strict=True))
    full = min(factor, key=lambda v: abs(v - 86_400.0))
    over = min(v for v in factor if v > full)
    assert factor[full] == pytest.approx(365.0 / 262.80, rel=1e-4)
    assert factor[over] == pytest.approx(2 * 365.0 / 262.80, rel=1e-4)
    one = surface.api_price_factors.index(min(surface.api_price_factors, key=lambda f: abs(f - 1.0)))
    assert surface.cost_ratio[one][0] == pytest.approx(surface.break_even_factor[0] / surface.api_price_factors[one])


def test_views_of_a_plan_with_a_crossing() -> None:
    """At twice the price, 2e-4 USD a request, one machine is paid by 365 / 730 / 3600 / 2e-4 = 0.694/s: 69 % busy."""
    dear: ApiOption = api(12, [2e-4] * 12)
    found = break_even(difference_of([RENT], [dear], FRAME), MID, MID, search_volumes(43_200.0), np.array([86_400.0]))
    views = break_even_views([RENT], [dear], FRAME, MID, MID, found, host=RENT, api=dear)
    assert views.busy_at_crossings[0].utilisation_frac == pytest.approx(365 / 730 / 3600 / 2e-4, rel=1e-6)
    assert views.payback.mid_month is None  # at half a request a second rent costs more than tokens each month
    assert views.payback.cases_without == views.payback.cases == 1
    cheap = dataclasses.replace(dear, usd_per_request=dear.usd_per_request * 10)
    again = break_even_views([RENT], [cheap], FRAME, MID, MID, found, host=RENT, api=cheap)
    assert again.payback.mid_month == again.payback.earliest_month == again.payback.latest_month == 0.0


def test_what_an_api_costs_whatever_the_volume_is_counted_once() -> None:
    """Testing the model costs both sides 100 USD a month and takes nothing from what self-hosting costs more."""
    tested = draws_from([{name: float(v[0]) for name, v in MID.values.items()} | {"evaluation_usd_per_year": 1_200.0}])
    volumes = np.array([[1_000.0, 43_200.0, 86_400.0]])
    plain, with_testing = (difference_of([RENT], [api(12)], FRAME)(world)(volumes) for world in (MID, tested))
    assert with_testing == pytest.approx(plain)
    assert plain[0, 1] == pytest.approx(365.0 - 43_200.0 * 365 / 12 * 1e-4)
