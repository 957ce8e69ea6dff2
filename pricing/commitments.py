"""What may be promised beside the price per token: minimum spend, prepaid credit, units, kept caches, free quota.

Everything is settled per calendar month on the bills of that month; nothing here changes a rate per token. What that
comes to in every world of a plan is worked out in one place: `planner.cost.commitments`.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from planner.errors import PriceError
from planner.units import TOKENS_PER_MTOK
from pricing.layers import ALWAYS, Note, Window

_ZERO = Decimal(0)


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
    """Tokens of `targets` that are not billed, input and output counted alike, every day anew.

    `shares_data`: only as long as prompts and answers may be kept and used by the provider.
    """

    id: str
    targets: tuple[str, ...]
    tokens_per_day: int
    why: Note
    window: Window = ALWAYS
    shares_data: bool = False


Commitment = MinimumSpend | PrepaidCredit | ProvisionedUnits | KeptCache | FreeQuota


def covers(commitment: Commitment, model: str) -> bool:
    """Whether a commitment is about a model, by the model's own name or by that of its provider."""
    return model in commitment.targets or model.partition("/")[0] in commitment.targets
