"""The monthly schedule of every option: whole machines, idle time billed, cash and P&L apart."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """One line of the schedule.

    `month` is 0 for what is paid before the first month, then 1..horizon. `cash_usd` is money that leaves in that month
    (negative: comes in), `pnl_usd` what the month's profit bears; over the whole life both sum to the same.
    `basis` names the assumption, price or measurement that the unit price rests on.
    """

    option: str
    month: int
    period_start: str  # ISO date
    category: str
    item: str
    quantity: float
    unit: str
    unit_price_usd: float
    cash_usd: float
    pnl_usd: float
    basis: str
