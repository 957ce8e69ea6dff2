"""What the price library does not hold: peak days, regional surcharges, cache storage, each with source and date."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from planner.errors import InputError
from pricing.hosts import TABLE_LAYER
from pricing.library import in_utc
from pricing.load import table_rows
from pricing.types import Provenance

_FILE = "api_extras.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """What processing in one region adds to every rate of `models` (ids of `provider`)."""

    id: str
    provider: str
    models: frozenset[str]
    percent: Decimal
    why: Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStorage:
    """The price of keeping tokens in an explicit cache [USD per million tokens and hour] in a span of days."""

    usd_per_mtok_h: Decimal
    from_date: date
    to_date: date
    why: Provenance
    is_placeholder: bool


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    models: tuple[str, ...] = Field(min_length=1)
    source_url: str = Field(pattern=r"^https?://")
    checked_on: date
    note: str = Field(min_length=1)
    from_date: date = date.min
    to_date: date = date.max

    def holds(self, at: datetime) -> bool:
        return self.from_date <= in_utc(at).date() < self.to_date

    def why(self) -> Provenance:
        return Provenance(
            layer=TABLE_LAYER,
            source=f"{_FILE} {self.id}",
            source_url=self.source_url,
            as_of=self.checked_on,
            note=self.note,
        )


class _PeakDays(_Row):
    weekdays: frozenset[Annotated[int, Field(ge=1, le=7)]] = Field(min_length=1)


class _Region(_Row):
    provider: str
    percent: Decimal = Field(gt=0, le=100)


class _CacheStorage(_Row):
    usd_per_mtok_h: Decimal = Field(gt=0)
    is_placeholder: bool = False


def peak_weekdays(matched_model: str, at: datetime) -> tuple[frozenset[int], Provenance] | None:
    """The ISO weekdays on which the model has peak hours, and who says so; None where nobody restricts them."""
    row = next((row for row in _peak_days() if matched_model in row.models and row.holds(at)), None)
    return None if row is None else (row.weekdays, row.why())


def find_region(region_id: str) -> Region:
    """The region with this id. Raises `InputError` with those that are known."""
    known = _regions()
    if region_id not in known:
        raise InputError(f'no region "{region_id}" in the price tables; known are {", ".join(known)}')
    return known[region_id]


def storage_prices(matched_model: str) -> tuple[CacheStorage, ...]:
    """Every known price of keeping an explicit cache of a model, each with the days on which it holds."""
    return tuple(
        CacheStorage(
            usd_per_mtok_h=row.usd_per_mtok_h,
            from_date=row.from_date,
            to_date=row.to_date,
            why=row.why(),
            is_placeholder=row.is_placeholder,
        )
        for row in _storage()
        if matched_model in row.models
    )


def cache_storage(matched_model: str, at: datetime) -> CacheStorage | None:
    """What keeping an explicit cache costs on the day of `at`, None where the table has no price."""
    day = in_utc(at).date()
    return next((row for row in storage_prices(matched_model) if row.from_date <= day < row.to_date), None)


@cache
def _peak_days() -> tuple[_PeakDays, ...]:
    return tuple(table_rows(_FILE, "peak_days", _PeakDays))


@cache
def _regions() -> Mapping[str, Region]:
    return {
        row.id: Region(
            id=row.id, provider=row.provider, models=frozenset(row.models), percent=row.percent, why=row.why()
        )
        for row in table_rows(_FILE, "region", _Region)
    }


@cache
def _storage() -> tuple[_CacheStorage, ...]:
    return tuple(table_rows(_FILE, "cache_storage", _CacheStorage))


def aged() -> list[tuple[date, bool]]:
    """When each row was read, and whether it is a placeholder."""
    plain = [(row.checked_on, False) for row in (*_peak_days(), *table_rows(_FILE, "region", _Region))]
    return [*plain, *((row.checked_on, row.is_placeholder) for row in _storage())]
