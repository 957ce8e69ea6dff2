"""What is owed beside the price per token: minimum spend, prepaid credit, provisioned units, kept caches, free quota.

Everything is settled per calendar month on the bills of that month; nothing here changes a rate per token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from planner.errors import InputError, PriceError
from planner.units import SECONDS_PER_HOUR, SECONDS_PER_MINUTE, TOKENS_PER_MTOK
from pricing.layers import ALWAYS, Note, Window

_ZERO = Decimal(0)
_MINUTES_PER_HOUR = int(SECONDS_PER_HOUR / SECONDS_PER_MINUTE)


@dataclass(frozen=True, slots=True, kw_only=True)
class MinimumSpend:
    """A promise to spend `usd_per_month` on `targets` (providers or models); what is missing is paid all the same."""

    id: str
    targets: tuple[str, ...]
    usd_per_month: Decimal
    why: Note
    window: Window = ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepaidCredit:
    """`credit_usd` of usage bought for `paid_usd` on `bought_on`; what is unused on `expires_on` is lost."""

    id: str
    targets: tuple[str, ...]
    paid_usd: Decimal
    credit_usd: Decimal
    bought_on: date
    expires_on: date
    why: Note


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionedUnits:
    """Reserved throughput of one model, paid by the hour whether used or not.

    One unit carries `tokens_per_min` of weighted tokens, where an output token weighs `output_weight` input tokens.
    """

    id: str
    model: str
    units: int
    usd_per_unit_h: Decimal
    tokens_per_min: int
    output_weight: float
    why: Note
    window: Window = ALWAYS

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.model,)


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageRate:
    """The price of keeping tokens in an explicit cache [USD per million tokens and hour] while `window` holds."""

    usd_per_mtok_h: Decimal
    window: Window = ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCache:
    """An explicit cache of `stored_tokens` of one model, kept `hours_per_month`, paid beside the price per token."""

    id: str
    model: str
    stored_tokens: int
    hours_per_month: Decimal
    rates: tuple[StorageRate, ...]
    why: Note
    window: Window = ALWAYS

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.model,)

    def usd_in(self, month: date) -> Decimal:
        """What the month that begins on `month` costs [USD], 0 outside the window.

        Worked: 200,000 tokens for 730 hours at 0.50 USD per million and hour: 0.2 * 730 * 0.50 = 73 USD.
        Raises `PriceError` where no rate holds on that day.
        """
        if not self.window.holds(month):
            return _ZERO
        rate = next((rate for rate in self.rates if rate.window.holds(month)), None)
        if rate is None:
            raise PriceError(f"commitment {self.id}: {self.model} has no price for keeping a cache on {month}")
        return self.stored_tokens * self.hours_per_month * rate.usd_per_mtok_h / TOKENS_PER_MTOK


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeQuota:
    """Tokens of `targets` that are not billed, input and output counted alike, every day anew."""

    id: str
    targets: tuple[str, ...]
    tokens_per_day: int
    why: Note
    window: Window = ALWAYS


Commitment = MinimumSpend | PrepaidCredit | ProvisionedUnits | KeptCache | FreeQuota


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
            spent = sum((usd for model, usd in usage.items() if _covers(minimum.targets, model)), _ZERO)
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
        raise InputError(f"{plan.id}: the load of a month needs at least one hour and no negative tokens")
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
        drawn = min(owed, left[credit.id]) if _covers(credit.targets, model) else _ZERO
        if drawn:
            left[credit.id] -= drawn
            owed -= drawn
            borne = drawn * credit.paid_usd / credit.credit_usd
            item = f"usage {model} from prepaid {credit.id}"
            lines.append(SettledLine(month=month, item=item, cash_usd=_ZERO, pnl_usd=borne))
    if owed:
        lines.append(SettledLine(month=month, item=f"usage {model}", cash_usd=owed, pnl_usd=owed))
    return lines


def _covers(targets: Sequence[str], model: str) -> bool:
    return model in targets or model.partition("/")[0] in targets


def _next_month(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)
