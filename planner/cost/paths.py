"""How demand and prices run over the months of the plan, in every world."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.cost.draws import Draws
from planner.cost.options import Frame
from planner.units import DAYS_PER_MONTH, HOURS_PER_DAY, MONTHS_PER_YEAR, SECONDS_PER_HOUR

Array = NDArray[np.floating[Any]]

API_PRICE, RENTAL_PRICE = "api_price", "rental_price"
"""Paths that `Draws.paths` may hold: factors on the price of each month, beside the yearly drift."""


def requests_per_s(draws: Draws, frame: Frame) -> Array:
    """Mean request rate of each month [1/s], shape (worlds, horizon): the day's rate, growing from month 2 on."""
    first = draws.column("requests_per_day") / (HOURS_PER_DAY * SECONDS_PER_HOUR)
    return np.asarray(first * (1.0 + draws.column("growth_frac_per_month")) ** np.arange(frame.horizon_months))


def host_requests_per_s(draws: Draws, frame: Frame) -> Array:
    """The rate that one's own machines feel [1/s]: real requests over real throughput, newer models counted."""
    return np.asarray(requests_per_s(draws, frame) / throughput_ratio(draws, frame))


def throughput_ratio(draws: Draws, frame: Frame) -> Array:
    """Real over predicted rate of a replica in every month, newer models counted."""
    return np.asarray(draws.column("throughput_ratio") / newer_model_factor(draws, frame))


def price_factor(path: str, frame: Frame, draws: Draws) -> Array:
    """Price of each month over that of month 1, (worlds, horizon); announced changes are not in here.

    (1 + yearly drift)^years, times the drawn path of sudden changes where the worlds have one.
    """
    drift = 1.0 + draws.column(f"{path}_drift_frac_per_year")
    smooth = drift ** (np.arange(frame.horizon_months) / MONTHS_PER_YEAR)
    return np.asarray(smooth * draws.paths[path] if path in draws.paths else smooth)


def newer_model_factor(draws: Draws, frame: Frame) -> Array:
    """What the same work costs once newer models of equal quality serve it, (worlds, horizon); 1 where none does.

    (1 - yearly gain)^years at the last switch, every `newer_model_every_months`: 0.5 a year and 12 months give 1 in
    the first year, 0.5 in the second. It holds for both sides: tokens get cheaper and a machine serves more of them.
    """
    every = np.maximum(np.round(draws.column("newer_model_every_months")), 1.0)
    since = np.floor(np.arange(frame.horizon_months) / every) * every / MONTHS_PER_YEAR
    return np.asarray((1.0 - draws.column("newer_model_gain_frac_per_year")) ** since)


def requests_per_month(requests_per_day: float) -> float:
    """Requests in a month of 730 hours.

    >>> requests_per_month(24.0)
    730.0
    """
    return requests_per_day * DAYS_PER_MONTH
