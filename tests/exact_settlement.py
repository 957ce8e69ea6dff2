"""Commitments settled bill by bill in exact decimals: the measure of `planner.cost.commitments`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from pricing.commitments import FreeQuota, MinimumSpend, PrepaidCredit, ProvisionedUnits, covers

_ZERO = Decimal(0)
_MINUTES_PER_HOUR = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledLine:
    """One entry of a month: cash that leaves, and what the month's profit bears."""

    month: date
    item: str
    cash_usd: Decimal
    pnl_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionedMonth:
    """One month of reserved throughput: fixed fee, what spilled over to the price per token, how well it was used."""

    fixed_usd: Decimal
    spilled_usd: Decimal
    spilled_frac: float
    utilisation_frac: float

    @property
    def total_usd(self) -> Decimal:
        return self.fixed_usd + self.spilled_usd


def settle(
    bills: Sequence[tuple[date, Mapping[str, Decimal]]], commitments: Sequence[MinimumSpend | PrepaidCredit]
) -> tuple[SettledLine, ...]:
    """Turn monthly usage into what is paid and borne.

    `bills` holds, in order, the first day of each month and the usage of each model at its price per token. Usage is
    paid from prepaid credit first, the credit that expires soonest first. A minimum spend counts usage at its full
    value, paid from credit or not. A month that begins before a credit expires may still use it, and bears its loss if
    it is the last one. Cash and profit sum to the same once every credit bought in the period has expired in it.

    Worked: minimum 10,000 USD, usage 7,250.50: shortfall 2,749.50. Credit of 1,250 bought for 1,000, usage 500 in each
    of 3 months: profit bears 400, 400 and 200 + 250; cash is 1,000 and, in the third month, 250.
    """
    credits_by_expiry = sorted(
        (c for c in commitments if isinstance(c, PrepaidCredit)), key=lambda c: (c.expires_on, c.id)
    )
    left = {credit.id: credit.credit_usd for credit in credits_by_expiry}
    lines: list[SettledLine] = []
    for month, usage in bills:
        following = _next_month(month)
        lines += [
            SettledLine(month=month, item=f"prepaid {credit.id}", cash_usd=credit.paid_usd, pnl_usd=_ZERO)
            for credit in credits_by_expiry
            if month <= credit.bought_on < following
        ]
        usable = [c for c in credits_by_expiry if c.bought_on < following and month < c.expires_on]
        for model, owed in sorted(usage.items()):
            lines += _pay(month, model, owed, usable, left)
        for minimum in (c for c in commitments if isinstance(c, MinimumSpend) and c.window.holds(month)):
            spent = sum((usd for model, usd in usage.items() if covers(minimum, model)), _ZERO)
            short = max(_ZERO, minimum.usd_per_month - spent)
            if short:
                lines.append(SettledLine(month=month, item=f"shortfall {minimum.id}", cash_usd=short, pnl_usd=short))
        for credit in usable:
            if credit.expires_on <= following and left[credit.id]:
                lost = left.pop(credit.id) * credit.paid_usd / credit.credit_usd
                left[credit.id] = _ZERO
                lines.append(SettledLine(month=month, item=f"expired {credit.id}", cash_usd=_ZERO, pnl_usd=lost))
    return tuple(lines)


def settle_provisioned(
    plan: ProvisionedUnits, hourly_weighted_tokens: Sequence[float], list_usd: Decimal
) -> ProvisionedMonth:
    """One month of reserved throughput under a given load; what exceeds an hour's capacity is paid per token.

    `hourly_weighted_tokens` are input tokens plus `output_weight` times output tokens of every hour of the month,
    `list_usd` is what all of them would cost at the price per token. Within an hour the load is taken as even: bursts
    inside the hour spill more than is counted here.

    Worked: 2 units of 1,000 tokens/min at 3 USD an hour carry 120,000 tokens an hour. Hours of 60,000 and 240,000
    tokens that list at 30 USD: fixed 2 * 3 * 2 = 12; spilled 120,000 of 300,000, so 30 * 0.4 = 12; total 24 USD.
    """
    if not hourly_weighted_tokens or min(hourly_weighted_tokens) < 0:
        raise ValueError(f"{plan.id}: the load of a month needs at least one hour and no negative tokens")
    capacity = plan.units * plan.tokens_per_min * _MINUTES_PER_HOUR
    total = sum(hourly_weighted_tokens)
    spilled = sum(max(0.0, tokens - capacity) for tokens in hourly_weighted_tokens)
    spilled_frac = spilled / total if total else 0.0
    hours = len(hourly_weighted_tokens)
    return ProvisionedMonth(
        fixed_usd=plan.units * plan.usd_per_unit_h * hours,
        spilled_usd=list_usd * Decimal(str(spilled_frac)),
        spilled_frac=spilled_frac,
        utilisation_frac=(total - spilled) / (capacity * hours),
    )


def free_usd(quota: FreeQuota, daily_tokens: Sequence[int], list_usd: Decimal) -> Decimal:
    """What of `list_usd`, the price of all of `daily_tokens`, is not billed; each day's quota ends with the day.

    Worked: 10 million a day; days of 8 and 20 million that list at 28 USD: 18 of 28 million are free, so 18 USD.
    """
    total = sum(daily_tokens)
    free = sum(min(tokens, quota.tokens_per_day) for tokens in daily_tokens)
    return list_usd * free / total if total else _ZERO


def _pay(
    month: date, model: str, owed: Decimal, usable: Sequence[PrepaidCredit], left: dict[str, Decimal]
) -> list[SettledLine]:
    lines = []
    for credit in usable:
        drawn = min(owed, left[credit.id]) if covers(credit, model) else _ZERO
        if drawn:
            left[credit.id] -= drawn
            owed -= drawn
            borne = drawn * credit.paid_usd / credit.credit_usd
            item = f"usage {model} from prepaid {credit.id}"
            lines.append(SettledLine(month=month, item=item, cash_usd=_ZERO, pnl_usd=borne))
    if owed:
        lines.append(SettledLine(month=month, item=f"usage {model}", cash_usd=owed, pnl_usd=owed))
    return lines


def _next_month(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)
