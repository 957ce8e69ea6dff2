"""A schedule: what each kind of cost is in every world and month, in cash and in profit and loss."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.simulator.cache import Floats, compiled
from planner.units import MONTHS_PER_YEAR

Array = NDArray[np.floating[Any]]


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """One kind of cost over worlds and months; the four arrays have the shape (worlds, horizon + 1).

    `basis_by_month` replaces `basis` in months 1..horizon where it differs from month to month; () where it does not.
    """

    category: str
    item: str
    unit: str
    basis: str
    quantity: Array
    unit_price_usd: Array
    cash_usd: Array
    pnl_usd: Array
    basis_by_month: tuple[str, ...] = ()


def cash_usd(entries: Sequence[Entry]) -> Array:
    """Money that leaves, (worlds, horizon + 1)."""
    return np.asarray(sum(entry.cash_usd for entry in entries))


def pnl_usd(entries: Sequence[Entry]) -> Array:
    """What profit bears, (worlds, horizon + 1)."""
    return np.asarray(sum(entry.pnl_usd for entry in entries))


def cost_lines(option_id: str, entries: Sequence[Entry], start_month: str, world: int = 0) -> Iterator[CostLine]:
    """The entries of one world as lines, months in order; months in which an entry is nothing are left out."""
    months = entries[0].cash_usd.shape[1]
    for month in range(months):
        for entry in entries:
            quantity, cash, pnl = (float(a[world, month]) for a in (entry.quantity, entry.cash_usd, entry.pnl_usd))
            if quantity == 0.0 and cash == 0.0 and pnl == 0.0:
                continue
            yield CostLine(
                option=option_id,
                month=month,
                period_start=period_start(start_month, month),
                category=entry.category,
                item=entry.item,
                quantity=quantity,
                unit=entry.unit,
                unit_price_usd=float(entry.unit_price_usd[world, month]),
                cash_usd=cash,
                pnl_usd=pnl,
                basis=entry.basis_by_month[month - 1] if entry.basis_by_month and month else entry.basis,
            )


def period_start(start_month: str, month: int) -> str:
    """First day of month 1, 2, ...; month 0 is paid on the first day of month 1.

    >>> period_start("2026-12", 2)
    '2027-01-01'
    """
    year, first = (int(part) for part in start_month.split("-"))
    months = year * MONTHS_PER_YEAR + first - 1 + max(month - 1, 0)
    return f"{months // MONTHS_PER_YEAR:04d}-{months % MONTHS_PER_YEAR + 1:02d}-01"


def running(category: str, item: str, quantity: Array, unit: str, unit_price_usd: Array, basis: str) -> Entry:
    """A cost of months 1..horizon that is paid and borne in the month it arises."""
    padded, price = np.zeros((2, quantity.shape[0], quantity.shape[1] + 1))
    padded[:, 1:], price[:, 1:] = quantity, unit_price_usd
    usd = padded * price
    return _entry(category, item, unit, basis, padded, price, usd, usd)


def immediate(category: str, item: str, quantity: Array, unit: str, unit_price_usd: Array, basis: str) -> Entry:
    """As `running`, for months 0..horizon; `quantity` has one column more than the horizon."""
    price = np.broadcast_to(unit_price_usd, quantity.shape)
    return _entry(category, item, unit, basis, quantity, price, quantity * price, quantity * price)


def _entry(
    category: str, item: str, unit: str, basis: str, quantity: Array, price: Array, cash: Array, pnl: Array
) -> Entry:
    return Entry(
        category=category,
        item=item,
        unit=unit,
        basis=basis,
        quantity=quantity,
        unit_price_usd=price,
        cash_usd=cash,
        pnl_usd=pnl,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AssetTerms:
    """What one machine costs and is worth, one value per world.

    Straight line from `price_usd` to `residual_frac` of it over `life_months`. At the end of its life a machine is sold
    for the residual and replaced; what is younger at the end of the horizon is sold for `resale_frac_of_book` of its
    book value.
    """

    price_usd: Array
    life_months: Array
    residual_frac: Array
    resale_frac_of_book: Array


@compiled
def _fill_life(
    bought: Floats,
    price_usd: Floats,
    monthly_usd: Floats,
    life_months: Floats,
    resale_frac: Floats,
    purchases: Floats,
    joining: Floats,
    sold: Floats,
    proceeds: Floats,
    disposal: Floats,
) -> None:
    """Add every purchase, its replacements and its sale to the arrays of `asset_entries`."""
    worlds, horizon = bought.shape
    for world in range(worlds):
        price, monthly, life = price_usd[world], monthly_usd[world], life_months[world]
        for month in range(horizon):
            count = bought[world, month]
            if count == 0.0:
                continue
            end = int(min(month + life, float(horizon)))
            book = price - monthly * (end - month)
            sale = resale_frac[world] * book if month + life > horizon else book
            purchases[world, month] += count
            joining[world, month + 1] += count
            joining[world, end + 1] -= count
            sold[world, end] += count
            proceeds[world, end] += count * sale
            disposal[world, end] += count * (book - sale)
            if end < horizon:
                bought[world, end] += count


def asset_entries(name: str, in_service: Array, terms: AssetTerms, *, basis: str) -> tuple[Entry, ...]:
    """Purchase, depreciation and sale of a fleet that never shrinks.

    `in_service` is machines per month, (worlds, horizon), not falling. What serves in month m is bought in month m - 1
    (month 0: before the first) and bears depreciation in months m .. m + life - 1. Purchase and proceeds are cash only,
    depreciation and the gain or loss at the sale are P&L only; over the horizon both sum to price minus proceeds.

    Worked: 8,760 USD, 48 months, residual 0, sold after 36 months at book value: depreciation 182.50 a month for 36
    months = 6,570; proceeds 2,190; cash 8,760 - 2,190 = 6,570.
    """
    worlds, horizon = in_service.shape
    bought = np.diff(in_service, axis=1, prepend=0.0)
    monthly = terms.price_usd * (1.0 - terms.residual_frac) / terms.life_months
    purchases, sold, proceeds, disposal = np.zeros((4, worlds, horizon + 1))
    joining = np.zeros((worlds, horizon + 2))  # machines that begin, less those that end, to bear depreciation
    _fill_life(
        np.array(bought, dtype=np.float64),
        np.array(terms.price_usd, dtype=np.float64),
        np.array(monthly, dtype=np.float64),
        np.array(terms.life_months, dtype=np.float64),
        np.array(terms.resale_frac_of_book, dtype=np.float64),
        purchases,
        joining,
        sold,
        proceeds,
        disposal,
    )
    price = terms.price_usd[:, np.newaxis]
    zero = np.zeros_like(purchases)
    sale_price = np.divide(-proceeds, sold, out=np.zeros_like(sold), where=sold > 0)
    depreciating = np.cumsum(joining[:, :-1], axis=1)
    depreciation = depreciating * monthly[:, np.newaxis]
    return (
        _entry("purchase", name, "machines", basis, purchases, price + zero, purchases * price, zero),
        _entry(
            "depreciation", name, "machines", basis, depreciating, monthly[:, np.newaxis] + zero, zero, depreciation
        ),
        _entry(
            "resale", name, "machines", f"{basis}, resale_frac_of_book_value", sold, sale_price, -proceeds, disposal
        ),
    )
