"""Time value of money on monthly schedules: the few formulas that the plan needs, each checked against numpy-financial.

Convention: a schedule has a leading month 0 (now) and then one entry at the end of each month. Amounts are costs, so a
payment is positive; every function works along the last axis and so takes one schedule or many at once.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from planner.units import MONTHS_PER_YEAR

Array = NDArray[np.floating[Any]]


def monthly_rate(yearly_rate_frac: ArrayLike) -> Array:
    """The monthly rate that compounds to `yearly_rate_frac` per year: (1 + r)^(1/12) - 1.

    >>> round(float(monthly_rate(0.12)), 6)
    0.009489
    """
    return np.asarray((1.0 + np.asarray(yearly_rate_frac, dtype=np.float64)) ** (1.0 / MONTHS_PER_YEAR) - 1.0)


def npv_usd(schedule_usd: ArrayLike, rate_frac_per_month: ArrayLike) -> Array:
    """Present value at month 0: sum of schedule[m] / (1 + r)^m. `rate_frac_per_month` is a number or one per schedule.

    >>> round(float(npv_usd([100.0, 101.0], 0.01)), 6)
    200.0
    """
    schedule = np.asarray(schedule_usd, dtype=np.float64)
    rate = np.asarray(rate_frac_per_month, dtype=np.float64)[..., np.newaxis]
    return np.asarray((schedule * (1.0 + rate) ** -np.arange(schedule.shape[-1])).sum(axis=-1))


def annuity_factor(rate_frac_per_month: ArrayLike, months: int) -> Array:
    """Present value of 1 paid at the end of each of `months` months: (1 - (1 + r)^-n) / r, and n when r is 0.

    >>> round(float(annuity_factor(0.01, 36)), 6)
    30.107505
    """
    rate = np.asarray(rate_frac_per_month, dtype=np.float64)
    safe = np.where(rate == 0.0, 1.0, rate)
    return np.asarray(np.where(rate == 0.0, float(months), (1.0 - (1.0 + safe) ** -float(months)) / safe))


def levelised_usd_per_month(schedule_usd: ArrayLike, rate_frac_per_month: ArrayLike) -> Array:
    """The constant payment at the end of each month 1..n that has the same present value as the schedule.

    NPV / annuity factor. A schedule of equal monthly bills levelises to the bill; a purchase of P for n months with no
    resale to P / factor, which is more than P / n by the cost of capital.

    >>> round(float(levelised_usd_per_month([0.0, 50.0, 50.0], 0.01)), 6)
    50.0
    """
    months = np.asarray(schedule_usd).shape[-1] - 1
    return np.asarray(npv_usd(schedule_usd, rate_frac_per_month) / annuity_factor(rate_frac_per_month, months))


def payback_month(schedule_usd: ArrayLike) -> float | None:
    """The month in which money laid out has come back, interpolated within the month; `None` if it never does.

    The schedule is of costs: laid out is positive, saved is negative. Pass a discounted schedule for the discounted
    payback. A schedule that lays out nothing has paid back in month 0.

    >>> payback_month([100.0, -40.0, -40.0, -40.0])
    2.5
    """
    spent = np.cumsum(np.asarray(schedule_usd, dtype=np.float64))
    if spent.max() <= 0.0:
        return 0.0
    under = np.flatnonzero(spent > 0.0)[-1]
    if under == spent.size - 1:
        return None
    return float(under + spent[under] / (spent[under] - spent[under + 1]))


def payback_months(schedules_usd: Array) -> Array:
    """`payback_month` of many schedules at once, not a number where the money never comes back."""
    spent = np.cumsum(schedules_usd, axis=1)
    under = spent > 0.0
    last = spent.shape[1] - 1 - under[:, ::-1].argmax(axis=1)
    rows = np.flatnonzero(under.any(axis=1) & (last < spent.shape[1] - 1))
    months = np.where(under.any(axis=1), np.nan, 0.0)
    before, after = spent[rows, last[rows]], spent[rows, last[rows] + 1]
    months[rows] = last[rows] + before / (before - after)
    return months


def discounted(schedule_usd: ArrayLike, rate_frac_per_month: float) -> Array:
    """Each month's amount as its value at month 0."""
    schedule = np.asarray(schedule_usd, dtype=np.float64)
    return np.asarray(schedule * (1.0 + rate_frac_per_month) ** -np.arange(schedule.size))


def irr_frac_per_month(schedule_usd: ArrayLike) -> float | None:
    """Monthly internal rate of return, only where it is unique: exactly one change of sign, from laid out to saved.

    `None` otherwise: [100, -230, 132] has two (10 % and 20 % a month) and a solver would pick one. Bisected between
    -50 % and +1000 % a month to rounding; `None` outside.
    """
    schedule = np.asarray(schedule_usd, dtype=np.float64)
    signs = np.sign(schedule[schedule != 0.0])
    if signs.size == 0 or signs[0] < 0 or np.count_nonzero(signs[1:] != signs[:-1]) != 1:
        return None
    low, high = -0.5, 10.0
    if float(npv_usd(schedule, low)) > 0.0 or float(npv_usd(schedule, high)) < 0.0:
        return None
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if float(npv_usd(schedule, middle)) < 0.0 else (low, middle)
    return low


def mirr_frac_per_month(schedule_usd: ArrayLike, rate_frac_per_month: float) -> float | None:
    """Monthly modified internal rate of return: savings reinvested and outlays financed at the same given rate.

    (future value of what is saved / present value of what is laid out)^(1/n) - 1. `None` where nothing is laid out or
    nothing is saved.
    """
    schedule = np.asarray(schedule_usd, dtype=np.float64)
    months = schedule.size - 1
    laid_out = float(npv_usd(np.maximum(schedule, 0.0), rate_frac_per_month))
    saved = float(npv_usd(np.maximum(-schedule, 0.0), rate_frac_per_month)) * (1.0 + rate_frac_per_month) ** months
    if laid_out <= 0.0 or saved <= 0.0:
        return None
    return float((saved / laid_out) ** (1.0 / months) - 1.0)


def per_year(rate_frac_per_month: float) -> float:
    """The yearly rate to which a monthly one compounds.

    >>> round(per_year(0.01), 6)
    0.126825
    """
    return float((1.0 + rate_frac_per_month) ** MONTHS_PER_YEAR - 1.0)
