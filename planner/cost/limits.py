"""What an assumption can be at all, whoever states it."""

import difflib
import math

from planner.units import MONTHS_PER_YEAR

_TINY = 1e-6
_LIMITS: tuple[tuple[str, float, float], ...] = (
    ("requests_per_day", _TINY, math.inf),
    ("growth_frac_per_month", -1 + _TINY, 1.0),
    ("cached_input_frac", 0.0, 1.0),
    ("throughput_ratio", _TINY, math.inf),
    ("pue_ratio", 1.0, math.inf),
    ("_price_drift_frac_per_year", -1 + _TINY, math.inf),
    ("discount_rate_frac_per_year", -1 + _TINY, math.inf),
    ("_usd_per_kwh", 0.0, math.inf),
    ("_usd_per_kw_month", 0.0, math.inf),
    ("staff_fte", 0.0, math.inf),
    ("staff_usd_per_fte_year", 0.0, math.inf),
    ("support_frac_per_year", 0.0, math.inf),
    ("network_frac_of_hardware", 0.0, math.inf),
    ("resale_frac_of_book_value", 0.0, math.inf),
    ("installation_frac_of_hardware", 0.0, math.inf),
    ("_fte_months", 0.0, math.inf),
    ("_usd_per_month", 0.0, math.inf),
    ("_usd_per_mtok", 0.0, math.inf),
    ("_usd_per_year", 0.0, math.inf),
    ("_price_steps_per_year", 0.0, 12.0),
    ("_availability_frac", 0.0, 1.0),
    ("tax_frac", 0.0, 1 - _TINY),
    ("newer_model_gain_frac_per_year", 0.0, 1 - _TINY),
    ("newer_model_every_months", 1.0, math.inf),
    ("spot_interrupted_frac", 0.0, 1.0),
    ("spot_fallback_price_ratio", 0.0, math.inf),
    ("/replicas_per_machine", 1.0, math.inf),
    ("/usd_per_h", 0.0, math.inf),
    ("/price_usd", 0.0, math.inf),
    ("/idle_w", 0.0, math.inf),
    ("/loaded_w", 0.0, math.inf),
    ("/life_years", 1 / MONTHS_PER_YEAR, math.inf),
    ("/residual_frac", 0.0, 1.0),
)
"""What an assumption can be at all, by the end of its name: (ending, least, most)."""


def bounds(name: str) -> tuple[float, float]:
    """The least and the most that the assumption of this name can be; unlimited for an unknown one."""
    return next(((least, most) for ending, least, most in _LIMITS if name.endswith(ending)), (-math.inf, math.inf))


def unknown(name: str) -> str | None:
    """Why no assumption can have this name; `None` where one may, be it of an offer that is no candidate."""
    if any(name.endswith(ending) for ending, _, _ in _LIMITS):
        return None
    close = difflib.get_close_matches(name.rpartition("/")[2], [e.lstrip("/_") for e, _, _ in _LIMITS], n=3, cutoff=0.4)
    return f"is not known; closest: {', '.join(close)}" if close else "is not known; assumptions.csv lists all names"


def impossible(name: str, low: float, high: float) -> str | None:
    """Why a range cannot be, without saying where it stands; `None` where it can.

    >>> impossible("cpu/life_years", 0.0, 4.0)
    'must be at least 0.0833333, got 0'
    """
    least, most = bounds(name)
    if low < least:
        return f"must be at least {least:g}, got {low:g}"
    if high > most:
        return f"must be at most {most:g}, got {high:g}"
    return None
