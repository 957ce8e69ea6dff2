"""What both sides have paid so far, month by month over the draws: how far they may drift apart, when they cross."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.cost.finance import payback_month

Array = NDArray[np.floating[Any]]

_PERCENTILES = [0.1, 0.5, 0.9]


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Percentiles over the draws [USD] of what has been paid by the end of month 0, 1, ... up to the horizon."""

    p10: tuple[float, ...]
    p50: tuple[float, ...]
    p90: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CashFan:
    """Cash paid so far, nominal and not discounted: the cheapest API model against the cheapest self-hosted option.

    `difference_usd` is self-hosting minus API in each draw, so its percentiles are not the difference of the bands.
    `median_payback_month`: from then on the median difference stays at or below 0 up to the horizon (0 where it is
    never above), `None` where it ends above. `ever_ahead_frac` of the draws have a month at whose end self-hosting has
    paid no more than the API, `ahead_at_end_frac` have paid less at the horizon. The probability beside them,
    `Risk.self_host_cheaper_frac`, discounts each month; at a discount rate of 0 it is `ahead_at_end_frac`.
    """

    api: str
    host: str
    api_usd: Band
    host_usd: Band
    difference_usd: Band
    median_payback_month: float | None
    ever_ahead_frac: float
    ahead_at_end_frac: float


def cash_fan(api: str, host: str, api_cash_usd: Array, host_cash_usd: Array) -> CashFan:
    """The fan of two options from their cash in every world and month, (worlds, horizon + 1), month 0 first.

    Worked: a machine of 100 and tokens of 40 or, as likely, 60 a month. After two months the API has been paid 80 to
    120, 100 in the median, so the median difference is 0 and half the draws are ahead.
    """
    paid = np.zeros((3, api_cash_usd.shape[0]))  # API, self-hosted, their difference; a month at a time to save memory
    ever = np.zeros(api_cash_usd.shape[0], dtype=bool)
    months = []
    for month in range(api_cash_usd.shape[1]):
        paid[0] += api_cash_usd[:, month]
        paid[1] += host_cash_usd[:, month]
        paid[2] = paid[1] - paid[0]
        if month > 0:
            ever |= paid[2] <= 0.0
        months.append(np.quantile(paid, _PERCENTILES, axis=1))
    percentiles = np.stack(months, axis=2)  # percentile, side, month
    return CashFan(
        api=api,
        host=host,
        api_usd=_band(percentiles[:, 0]),
        host_usd=_band(percentiles[:, 1]),
        difference_usd=_band(percentiles[:, 2]),
        median_payback_month=payback_month(np.diff(percentiles[1, 2], prepend=0.0)),
        ever_ahead_frac=float(ever.mean()),
        ahead_at_end_frac=float((paid[2] < 0.0).mean()),
    )


def _band(by_month: Array) -> Band:
    p10, p50, p90 = (tuple(row) for row in by_month.tolist())
    return Band(p10=p10, p50=p50, p90=p90)
