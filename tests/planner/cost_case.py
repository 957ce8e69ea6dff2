"""Options with round prices on a staircase of round steps, in a world whose figures can be worked with on paper."""

import numpy as np

from planner.capacity.fleet import week_of
from planner.capacity.staircase import CapacityCurve, FleetRules
from planner.cost.options import ApiOption, Frame, OwnOption, RentOption
from planner.workload import flat_week, servegen_week
from pricing.hardware import purchase_offer, rental_offer

CURVE = CapacityCurve(
    replicas=(1, 2, 3),
    max_requests_per_s=(1.0, 2.0, 3.0),
    busy_s_per_request=1.0,
    requests_outside_hull_frac=0.0,
)
RENT = RentOption(id="r", offer=rental_offer("aws-c7a-large"), curve=CURVE)
OWN = OwnOption(id="o", offer=purchase_offer("cpu-1p-8c"), curve=CURVE)
WORLD = {
    "requests_per_day": 86_400.0,
    "growth_frac_per_month": 0.0,
    "cached_input_frac": 0.0,
    "throughput_ratio": 1.0,
    "api_price_drift_frac_per_year": 0.0,
    "rental_price_drift_frac_per_year": 0.0,
    "discount_rate_frac_per_year": 0.1,
    "electricity_usd_per_kwh": 0.1,
    "pue_ratio": 1.5,
    "colocation_usd_per_kw_month": 200.0,
    "support_frac_per_year": 0.1,
    "staff_fte": 0.5,
    "staff_usd_per_fte_year": 120_000.0,
    "network_frac_of_hardware": 0.1,
    "resale_frac_of_book_value": 0.5,
    "installation_frac_of_hardware": 0.0,
    "migration_fte_months": 0.0,
    "exit_fte_months": 0.0,
    "storage_usd_per_month": 0.0,
    "egress_usd_per_mtok": 0.0,
    "evaluation_usd_per_year": 0.0,
    "fine_tuning_usd_per_year": 0.0,
    "tax_frac": 0.0,
    "newer_model_gain_frac_per_year": 0.0,
    "newer_model_every_months": 12.0,
    "newer_model_fte_months": 0.5,
    "spot_interrupted_frac": 0.1,
    "spot_fallback_price_ratio": 3.0,
    "r/usd_per_h": 0.5,
    "r/replicas_per_machine": 1.0,
    "o/price_usd": 4_800.0,
    "o/life_years": 4.0,
    "o/residual_frac": 0.1,
    "o/idle_w": 50.0,
    "o/loaded_w": 150.0,
    "o/replicas_per_machine": 2.0,
}


def api(months: int, usd_per_request: list[float] | None = None) -> ApiOption:
    prices = np.full(months, 1e-4) if usd_per_request is None else np.array(usd_per_request)
    return ApiOption(
        id="a",
        matched_model="a",
        source="a test",
        source_url=None,
        kinds=("input",),
        cached_levels=(0.0,),
        tokens_per_request=np.full((1, 1, months), 1000.0),
        usd_per_request=prices[np.newaxis, np.newaxis, :],
    )


def frame(months: int = 36, *, scale_by_hour: bool = False, spare: int = 1) -> Frame:
    shape = servegen_week() if scale_by_hour else flat_week()
    rules = FleetRules(spare_replicas=spare, scale_by_hour=scale_by_hour)
    return Frame(horizon_months=months, week=week_of(shape), rules=rules)
