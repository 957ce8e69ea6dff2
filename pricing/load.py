"""Reads the price tables in `pricing/data`: every row is checked at this border and becomes one of our own values."""

import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from planner.errors import PriceError
from planner.ranges import Assumption, Range, certain
from pricing.licences import CommercialUse, Licence
from pricing.types import Accelerator, PurchaseOffer, RentalOffer, Term

_RowT = TypeVar("_RowT", bound=BaseModel)


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    checked_on: date
    note: str = ""


class _RangeRow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float
    mid: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        Range(low=self.low, mid=self.mid, high=self.high)
        return self

    def value(self) -> Range:
        return Range(low=self.low, mid=self.mid, high=self.high)


class _AcceleratorRow(_Row):
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    name: str
    vendor: str
    memory_gb: float = Field(gt=0)
    bandwidth_gb_per_s: float = Field(gt=0)
    board_w: float = Field(gt=0)
    reported_names: tuple[str, ...] = Field(min_length=1)
    datacenter_clause: bool = False
    source_url: str = Field(pattern=r"^https?://")


class _MachineRow(_Row):
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    name: str
    ram_gib: float = Field(gt=0)
    accelerator: str | None = None
    accelerators: int = Field(ge=0)
    source_url: str = Field(pattern=r"^https?://")
    is_placeholder: bool = False

    @model_validator(mode="after")
    def _counted(self) -> Self:
        if (self.accelerator is None) != (self.accelerators == 0):
            raise ValueError("accelerator and accelerators must be given together")
        return self


class _RentalRow(_MachineRow):
    provider: str
    region: str
    vcpus: int = Field(gt=0)
    term: Term
    usd_per_h: _RangeRow | float
    min_term_months: int = Field(default=0, ge=0)

    @field_validator("usd_per_h")
    @classmethod
    def _possible(cls, price: _RangeRow | float) -> _RangeRow | float:
        if (price.low if isinstance(price, _RangeRow) else price) <= 0:
            raise ValueError("a rental price must be above 0 USD per hour")
        return price


class _PurchaseRow(_MachineRow):
    cpu_cores: int = Field(gt=0)
    price_usd: _RangeRow
    idle_w: _RangeRow
    loaded_w: _RangeRow
    life_years: _RangeRow
    residual_frac: _RangeRow

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if min(self.price_usd.low, self.idle_w.low, self.life_years.low) <= 0:
            raise ValueError("price, watts and life must be above 0")
        if self.idle_w.mid > self.loaded_w.mid:
            raise ValueError("a machine cannot draw more idle than loaded")
        if self.residual_frac.low < 0 or self.residual_frac.high > 1:
            raise ValueError("residual_frac lies between 0 and 1")
        return self


class _AssumptionRow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    value: _RangeRow
    unit: str = Field(min_length=1)
    source: str = Field(min_length=1)
    as_of: date
    note: str = ""
    is_placeholder: bool = False


@cache
def load_accelerators() -> tuple[Accelerator, ...]:
    """The cards of `accelerators.toml`."""
    return tuple(
        Accelerator(**row.model_dump()) for row in table_rows("accelerators.toml", "accelerator", _AcceleratorRow)
    )


@cache
def load_rentals() -> tuple[RentalOffer, ...]:
    """The machines by the hour of `rentals.toml`."""
    return tuple(
        RentalOffer(**_plain(row, usd_per_h=_range(row.usd_per_h)))
        for row in table_rows("rentals.toml", "rental", _RentalRow)
    )


@cache
def load_purchases() -> tuple[PurchaseOffer, ...]:
    """The machines to own of `purchases.toml`."""
    return tuple(
        PurchaseOffer(
            **_plain(
                row,
                price_usd=row.price_usd.value(),
                idle_w=row.idle_w.value(),
                loaded_w=row.loaded_w.value(),
                life_years=row.life_years.value(),
                residual_frac=row.residual_frac.value(),
            )
        )
        for row in table_rows("purchases.toml", "purchase", _PurchaseRow)
    )


@cache
def load_assumptions() -> tuple[Assumption, ...]:
    """The named defaults of `assumptions.toml`."""
    return tuple(
        Assumption(**_plain(row, value=row.value.value(), as_of=row.as_of.isoformat()))
        for row in table_rows("assumptions.toml", "assumption", _AssumptionRow)
    )


def table_rows(file: str, table: str, kind: type[_RowT]) -> list[_RowT]:
    """The rows of one table of `pricing/data`. Raises `PriceError` with file, row and field; ids appear once."""
    raw: list[Mapping[str, Any]] = tomllib.loads((files("pricing") / "data" / file).read_text("utf-8"))[table]
    rows: list[_RowT] = []
    seen: set[str] = set()
    for number, entry in enumerate(raw, start=1):
        key = str(entry.get("id") or entry.get("name") or entry.get("model") or "without a name")
        try:
            rows.append(kind.model_validate(entry))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "row"
            raise PriceError(f"{file}, row {number} ({key}): {field}: {first['msg']}") from None
        if key in seen:
            raise PriceError(f"{file}, row {number} ({key}): appears twice; keep one")
        seen.add(key)
    return rows


def _plain(row: BaseModel, **converted: object) -> dict[str, Any]:
    return {name: converted.get(name, getattr(row, name)) for name in type(row).model_fields}


def _range(value: _RangeRow | float) -> Range:
    return value.value() if isinstance(value, _RangeRow) else certain(value)


class _ElectricityRow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z][a-z-]*$")
    name: str
    value: _RangeRow
    source: str = Field(min_length=1)
    as_of: date
    note: str = ""


@cache
def load_electricity() -> Mapping[str, Assumption]:
    """The electricity prices of `electricity.toml` by region, each in the place of the general default."""
    return {
        row.id: Assumption(
            name="electricity_usd_per_kwh",
            value=row.value.value(),
            unit="USD per kWh",
            source=row.source,
            as_of=row.as_of.isoformat(),
            note=f"{row.name}: {row.note}",
        )
        for row in table_rows("electricity.toml", "electricity", _ElectricityRow)
    }


class _DifferenceRow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(pattern=r"^[^/]+/.+$")
    reason: str = Field(min_length=20)
    source_url: str = Field(pattern=r"^https?://")
    checked_on: date


@cache
def load_known_differences() -> Mapping[str, str]:
    """Why the sources differ on a model, by "provider/model-id", where somebody has looked into it."""
    rows = table_rows("known_differences.toml", "difference", _DifferenceRow)
    return {row.model: f"{row.reason} ({row.source_url}, {row.checked_on})" for row in rows}


class _LicenceRow(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    name: str
    version: str
    source_url: str = Field(pattern=r"^https?://")
    checked_on: date
    basis: Literal["text", "summary"]
    commercial_use: CommercialUse
    models: tuple[str, ...] = Field(min_length=1)
    monthly_users_cap: int | None = Field(default=None, gt=0)
    monthly_users_cap_counted: str = "at any time"
    trains_other_models: str | None = None
    attribution: str | None = None
    attribution_from_monthly_users: int | None = Field(default=None, gt=0)
    attribution_from_monthly_revenue_usd: int | None = Field(default=None, gt=0)
    use_policy_url: str | None = Field(default=None, pattern=r"^https?://")
    excluded_regions: tuple[str, ...] = ()
    excluded_regions_multimodal_only: bool = False
    redistribution_duty: str | None = None


@cache
def load_licences() -> tuple[Licence, ...]:
    """The licences of `licences.toml`."""
    rows = table_rows("licences.toml", "licence", _LicenceRow)
    return tuple(Licence(from_text=row.basis == "text", **row.model_dump(exclude={"basis"})) for row in rows)
