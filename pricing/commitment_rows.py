"""Commitments as a price file and a lock write them, checked row by row."""

from dataclasses import asdict
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from planner.units import HOURS_PER_MONTH
from pricing.commitments import (
    Commitment,
    FreeQuota,
    KeptCache,
    MinimumSpend,
    PrepaidCredit,
    ProvisionedUnits,
    StorageRate,
)
from pricing.layers import Note, Window

MODEL_PATTERN = r"^[^/\s]+/\S+$"


class Rule(BaseModel):
    """What every row of one's own must say about itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(min_length=3)
    as_of: date
    source_url: str | None = Field(default=None, pattern=r"^https?://")
    author: str = ""
    note: str = ""
    from_date: date | None = None
    to_date: date | None = None

    def why(self) -> Note:
        return Note(
            source=self.source, as_of=self.as_of, source_url=self.source_url, author=self.author, note=self.note
        )

    def window(self) -> Window:
        if self.from_date is not None and self.to_date is not None and self.to_date <= self.from_date:
            raise ValueError("to_date must lie after from_date")
        return Window(from_date=self.from_date, to_date=self.to_date)


class _MinimumRow(Rule):
    kind: Literal["minimum-spend"]
    id: str
    targets: tuple[str, ...] = Field(min_length=1)
    usd_per_month: Decimal = Field(gt=0)

    def value(self) -> MinimumSpend:
        return MinimumSpend(
            id=self.id, targets=self.targets, usd_per_month=self.usd_per_month, why=self.why(), window=self.window()
        )


class _PrepaidRow(Rule):
    kind: Literal["prepaid"]
    id: str
    targets: tuple[str, ...] = Field(min_length=1)
    paid_usd: Decimal = Field(gt=0)
    credit_usd: Decimal = Field(gt=0)
    bought_on: date
    expires_on: date

    def value(self) -> PrepaidCredit:
        if self.expires_on <= self.bought_on:
            raise ValueError("expires_on must lie after bought_on")
        return PrepaidCredit(
            id=self.id,
            targets=self.targets,
            paid_usd=self.paid_usd,
            credit_usd=self.credit_usd,
            bought_on=self.bought_on,
            expires_on=self.expires_on,
            why=self.why(),
        )


class _ProvisionedRow(Rule):
    kind: Literal["provisioned"]
    id: str
    model: str = Field(pattern=MODEL_PATTERN)
    units: int = Field(gt=0)
    usd_per_unit_h: Decimal = Field(gt=0)
    tokens_per_min: int = Field(gt=0)
    output_weight: float = Field(gt=0)

    def value(self) -> ProvisionedUnits:
        return ProvisionedUnits(
            id=self.id,
            model=self.model,
            units=self.units,
            usd_per_unit_h=self.usd_per_unit_h,
            tokens_per_min=self.tokens_per_min,
            output_weight=self.output_weight,
            why=self.why(),
            window=self.window(),
        )


class _StorageRateRow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    usd_per_mtok_h: Decimal = Field(gt=0)
    from_date: date | None = None
    to_date: date | None = None

    def value(self) -> StorageRate:
        return StorageRate(
            usd_per_mtok_h=self.usd_per_mtok_h, window=Window(from_date=self.from_date, to_date=self.to_date)
        )


class _KeptCacheRow(Rule):
    kind: Literal["kept-cache"]
    id: str
    model: str = Field(pattern=MODEL_PATTERN)
    stored_tokens: int = Field(gt=0)
    hours_per_month: Decimal = Field(default=Decimal(str(HOURS_PER_MONTH)), gt=0, le=744)
    rates: tuple[_StorageRateRow, ...] = Field(min_length=1)

    def value(self) -> KeptCache:
        return KeptCache(
            id=self.id,
            model=self.model,
            stored_tokens=self.stored_tokens,
            hours_per_month=self.hours_per_month,
            rates=tuple(rate.value() for rate in self.rates),
            why=self.why(),
            window=self.window(),
        )


class _FreeQuotaRow(Rule):
    kind: Literal["free-quota"]
    id: str
    targets: tuple[str, ...] = Field(min_length=1)
    tokens_per_day: int = Field(gt=0)
    shares_data: bool = False

    def value(self) -> FreeQuota:
        return FreeQuota(
            id=self.id,
            targets=self.targets,
            tokens_per_day=self.tokens_per_day,
            why=self.why(),
            window=self.window(),
            shares_data=self.shares_data,
        )


CommitmentRow = Annotated[
    _MinimumRow | _PrepaidRow | _ProvisionedRow | _KeptCacheRow | _FreeQuotaRow, Field(discriminator="kind")
]
"""One commitment; `value()` gives it."""

COMMITMENT: TypeAdapter[_MinimumRow | _PrepaidRow | _ProvisionedRow | _KeptCacheRow | _FreeQuotaRow] = TypeAdapter(
    CommitmentRow
)
_KIND_OF = {
    MinimumSpend: "minimum-spend",
    PrepaidCredit: "prepaid",
    ProvisionedUnits: "provisioned",
    KeptCache: "kept-cache",
    FreeQuota: "free-quota",
}


def commitment_row(commitment: Commitment) -> dict[str, Any]:
    """The commitment as JSON can hold it; `CommitmentRow` reads it back to an equal one."""
    fields = asdict(commitment)
    flat = {"kind": _KIND_OF[type(commitment)], **fields, **fields.pop("why"), **fields.pop("window", {})}
    if isinstance(commitment, KeptCache):
        flat["rates"] = [{"usd_per_mtok_h": rate.usd_per_mtok_h, **asdict(rate.window)} for rate in commitment.rates]
    row = COMMITMENT.validate_python({key: value for key, value in flat.items() if key not in ("why", "window")})
    return row.model_dump(mode="json", exclude_none=True)
