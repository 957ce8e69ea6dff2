"""What is owed beside the price per token, in every world: minimum spend, credit, units, kept caches, free quota.

The same rules as `pricing.commitments`, which settles one bill in exact decimals, on arrays over worlds and months.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.cost.schedule import Entry, running
from planner.units import HOURS_PER_DAY, HOURS_PER_MONTH, HOURS_PER_WEEK, SECONDS_PER_HOUR, SECONDS_PER_MINUTE
from pricing.commitments import Commitment, FreeQuota, KeptCache, MinimumSpend, PrepaidCredit, ProvisionedUnits

Array = NDArray[np.floating[Any]]

_MINUTES_PER_HOUR = SECONDS_PER_HOUR / SECONDS_PER_MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Promises:
    """The commitments that cover one API model, and the first day of each month of the plan."""

    commitments: tuple[Commitment, ...]
    month_starts: tuple[date, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Load:
    """What the commitments are held against.

    `usage_usd` is the traffic of each month at its price per token, (worlds, months). `weighted_tokens_per_h(w)` are
    input tokens plus w times output tokens in each distinct hour of the week, (worlds, months, hours), and
    `hours_per_week` says how often each of those hours occurs.
    """

    usage_usd: Array
    weighted_tokens_per_h: Callable[[float], Array]
    hours_per_week: tuple[int, ...]


def commitment_entries(promises: Promises, load: Load) -> tuple[Entry, ...]:
    """The entries that turn usage at the price per token into what is paid and borne.

    In this order: provisioned units carry what they can and cost their fee; free quota takes its tokens off the rest;
    a kept cache costs its storage; prepaid credit pays for what is left of the tokens, the credit that expires soonest
    first; a minimum spend counts fees, storage and what is left at full value, and what is missing is paid.

    Worked: minimum 1,500 USD, usage 989.442: 510.558 more. Credit of 1,250 bought for 1,000 that expires after three
    months of 500: cash 1,000 in the first and 250 in the third, profit bears 400, 400 and 200 + 250.
    """
    entries: list[Entry] = []
    left, spent = load.usage_usd, load.usage_usd
    for units in (c for c in promises.commitments if isinstance(c, ProvisionedUnits)):
        fee, carried = _provisioned(units, promises.month_starts, load)
        entries += [fee, carried]
        left = left + carried.cash_usd[:, 1:]
        spent = spent + carried.cash_usd[:, 1:] + fee.cash_usd[:, 1:]
    for quota in (c for c in promises.commitments if isinstance(c, FreeQuota)):
        free = _free(quota, promises.month_starts, load, left)
        entries.append(free)
        left, spent = left + free.cash_usd[:, 1:], spent + free.cash_usd[:, 1:]
    for cache in (c for c in promises.commitments if isinstance(c, KeptCache)):
        storage = _kept(cache, promises.month_starts, load)
        entries.append(storage)
        spent = spent + storage.cash_usd[:, 1:]
    entries += _prepaid([c for c in promises.commitments if isinstance(c, PrepaidCredit)], promises.month_starts, left)
    for minimum in (c for c in promises.commitments if isinstance(c, MinimumSpend)):
        held = np.array([minimum.window.holds(day) for day in promises.month_starts])
        short = np.maximum(float(minimum.usd_per_month) - spent, 0.0) * held
        item = f"shortfall of minimum spend {minimum.id}"
        entries.append(running("commitment", item, (short > 0) * 1.0, "months", short, _basis(minimum)))
    return tuple(entries)


def _provisioned(units: ProvisionedUnits, month_starts: Sequence[date], load: Load) -> tuple[Entry, Entry]:
    active = np.array([units.window.holds(day) for day in month_starts]) * np.ones_like(load.usage_usd)
    tokens = load.weighted_tokens_per_h(units.output_weight)
    hours = np.array(load.hours_per_week, dtype=float)
    total = tokens @ hours
    capacity = units.units * units.tokens_per_min * _MINUTES_PER_HOUR
    spilled = np.maximum(tokens - capacity, 0.0) @ hours
    carried = np.divide(total - spilled, total, out=np.zeros_like(total), where=total > 0) * active
    basis = _basis(units)
    return (
        running(
            *("commitment", f"provisioned units {units.id}", active * units.units * HOURS_PER_MONTH, "unit-hours"),
            *(np.full_like(active, float(units.usd_per_unit_h)), basis),
        ),
        running(
            *("commitment", f"tokens carried by {units.id}", carried, "share of the bill", -load.usage_usd, basis),
        ),
    )


def _free(quota: FreeQuota, month_starts: Sequence[date], load: Load, left: Array) -> Entry:
    """A week's tokens are spread evenly over its days: where weekdays differ, a little more is free than in truth."""
    active = np.array([quota.window.holds(day) for day in month_starts]) * np.ones_like(left)
    daily = (
        load.weighted_tokens_per_h(1.0) @ np.array(load.hours_per_week, dtype=float) * (HOURS_PER_DAY / HOURS_PER_WEEK)
    )
    share = (
        np.divide(np.minimum(daily, quota.tokens_per_day), daily, out=np.zeros_like(daily), where=daily > 0) * active
    )
    return running("commitment", f"free tokens of {quota.id}", share, "share of the bill", -left, _basis(quota))


def _kept(cache: KeptCache, month_starts: Sequence[date], load: Load) -> Entry:
    usd = np.array([float(cache.usd_in(day)) for day in month_starts]) * np.ones_like(load.usage_usd)
    item = f"cache {cache.id} of {cache.stored_tokens:,} tokens"
    return running("commitment", item, (usd > 0) * 1.0, "months", usd, _basis(cache))


def _prepaid(credits_: Sequence[PrepaidCredit], month_starts: Sequence[date], owed: Array) -> list[Entry]:
    ordered = sorted(credits_, key=lambda credit: (credit.expires_on, credit.id))
    worlds, months = owed.shape
    left = {credit.id: np.full(worlds, float(credit.credit_usd)) for credit in ordered}
    bought, drawn, lost = ({credit.id: np.zeros((worlds, months)) for credit in ordered} for _ in range(3))
    for month, start in enumerate(month_starts):
        following = date(start.year + start.month // 12, start.month % 12 + 1, 1)
        unpaid = owed[:, month]
        for credit in ordered:
            bought[credit.id][:, month] = start <= credit.bought_on < following
            if not (credit.bought_on < following and start < credit.expires_on):
                continue
            paid = np.minimum(unpaid, left[credit.id])
            drawn[credit.id][:, month] = paid
            left[credit.id] = left[credit.id] - paid
            unpaid = unpaid - paid
            if credit.expires_on <= following:
                lost[credit.id][:, month] = left[credit.id]
                left[credit.id] = np.zeros(worlds)
    entries = []
    for credit in ordered:
        price = float(credit.paid_usd / credit.credit_usd)
        basis, mine = _basis(credit), (bought[credit.id], drawn[credit.id], lost[credit.id])
        entries += [
            _entry(f"prepaid credit {credit.id}", "purchases", basis, mine[0], float(credit.paid_usd), 1.0, 0.0),
            _entry(f"usage paid from {credit.id}", "USD of credit", basis, mine[1], 1.0, -1.0, price - 1.0),
            _entry(f"{credit.id} expired unused", "USD of credit", basis, mine[2], price, 0.0, 1.0),
        ]
    return entries


def _entry(item: str, unit: str, basis: str, quantity: Array, price: float, cash: float, pnl: float) -> Entry:
    """Quantity times price, `cash` of it paid and `pnl` of it borne in its month."""
    padded = np.concatenate([np.zeros((quantity.shape[0], 1)), quantity], axis=1)
    return Entry(
        category="commitment",
        item=item,
        unit=unit,
        basis=basis,
        quantity=padded,
        unit_price_usd=np.full_like(padded, price),
        cash_usd=padded * price * cash,
        pnl_usd=padded * price * pnl,
    )


def _basis(commitment: Commitment) -> str:
    return f"commitment: {commitment.why.source}, as of {commitment.why.as_of}"
