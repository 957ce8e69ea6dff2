"""Sudden price changes: two-sided steps at drawn dates, beside the yearly drift.

Source of the API steps: the dated changes of 2025 and 2026 in the price library's history outside routers, 41 down
(median x 0.62) and 28 up (median x 2.0). Of the rental steps: one-year H100 contracts rose from about 1.70 to about
2.35 USD/h within five months of 2025 and 2026 after falling for two years, so x 1.38 and its inverse.
"""

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from planner.cost.paths import API_PRICE, RENTAL_PRICE
from planner.units import MONTHS_PER_YEAR

Array = NDArray[np.floating[Any]]

_STEPS = {API_PRICE: (41 / 69, 0.62, 2.0), RENTAL_PRICE: (0.5, 1 / 1.38, 1.38)}
"""Share of steps that go down, factor of a step down, factor of a step up."""


def draw_paths(values: Mapping[str, Array], months: int, correlation: float, seed: int) -> dict[str, Array]:
    """Factor on the price of each month, (worlds, months), for every kind of price with `*_steps_per_year` in `values`.

    A step comes in a month with probability rate / 12, at most one a month. Whether it goes up or down follows a normal
    that correlates between the two kinds of price by `correlation`, because both follow the same market.
    """
    found = {}
    for name, (down_share, down, up) in _STEPS.items():
        rate = values.get(f"{name}_steps_per_year")
        if rate is None:
            continue
        shape = (rate.size, months)
        comes = _generator(name, seed).random(shape) < rate[:, np.newaxis] / MONTHS_PER_YEAR
        market = _generator("the market, month by month", seed).standard_normal(shape)
        own = _generator(f"{name}, direction", seed).standard_normal(shape)
        direction = np.sqrt(correlation) * market + np.sqrt(1.0 - correlation) * own
        size = np.where(direction < ndtri(down_share), down, up)
        found[name] = np.asarray(np.cumprod(np.where(comes, size, 1.0), axis=1), dtype=float)
    return found


def _generator(name: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode())])
