"""Published terms of commitments: provisioned units, free quota, cache storage, filled into rows that name them."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from planner.errors import InputError, PriceError
from planner.units import HOURS_PER_MONTH
from pricing.extras import storage_prices
from pricing.library import find_model
from pricing.load import table_rows

_FILE = "commitment_offers.toml"
_RowT = TypeVar("_RowT", "UnitRow", "FreeQuotaRow")


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    source_url: str = Field(pattern=r"^https?://")
    checked_on: date
    note: str = Field(min_length=1)
    is_placeholder: bool = False


class UnitRow(_Row):
    """One way to pay for provisioned units; exactly one of the two prices is given."""

    usd_per_unit_h: Decimal | None = Field(default=None, gt=0)
    usd_per_unit_month: Decimal | None = Field(default=None, gt=0)
    min_units: int = Field(gt=0)
    unit_step: int = Field(gt=0)

    @model_validator(mode="after")
    def _priced_once(self) -> Self:
        if (self.usd_per_unit_h is None) == (self.usd_per_unit_month is None):
            raise ValueError("give usd_per_unit_h or usd_per_unit_month")
        return self

    @property
    def hourly_usd(self) -> Decimal:
        """A month counts 730 hours: 260 USD a month are 0.356... an hour."""
        if self.usd_per_unit_h is not None:
            return self.usd_per_unit_h
        assert self.usd_per_unit_month is not None
        return self.usd_per_unit_month / Decimal(str(HOURS_PER_MONTH))

    @property
    def terms(self) -> str:
        price = f"{self.usd_per_unit_h} USD/h" if self.usd_per_unit_h else f"{self.usd_per_unit_month} USD/month"
        return f"{price} a unit, from {self.min_units} in steps of {self.unit_step}"


class ThroughputRow(_Row):
    """What one unit of a family carries of some models."""

    family: str
    models: tuple[str, ...] = Field(min_length=1)
    tokens_per_min: int = Field(gt=0)
    output_weight: float = Field(gt=0)

    @property
    def terms(self) -> str:
        weight = f"an output token counts {self.output_weight:g}"
        return f"a unit carries {self.tokens_per_min:,} input tokens/min of {', '.join(self.models)}; {weight}"


class FreeQuotaRow(_Row):
    """Tokens a day that a provider does not bill."""

    targets: tuple[str, ...] = Field(min_length=1)
    tokens_per_day: int = Field(gt=0)
    shares_data: bool = False

    @property
    def terms(self) -> str:
        shared = ", where prompts and answers are shared" if self.shares_data else ""
        return f"{self.tokens_per_day:,} tokens a day of {', '.join(self.targets)} are not billed{shared}"


def with_published_terms(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """A commitment as written in a price file, completed from the tables; what the file itself says wins.

    `offer` names a row of `commitment_offers.toml`; a kept cache without `rates` takes the listed storage prices.
    Raises `InputError` for an unknown offer, a model that it does not cover and a number of units that is not sold.
    """
    kind, rest = entry.get("kind"), {key: value for key, value in entry.items() if key != "offer"}
    offer = entry.get("offer")
    if kind == "kept-cache" and offer is None and "rates" not in entry:
        return _storage_terms(str(entry.get("model", ""))) | rest
    if offer is None:
        return entry
    if kind == "provisioned":
        return _unit_terms(str(offer), str(entry.get("model", "")), entry.get("units")) | rest
    if kind == "free-quota":
        quota = _named(str(offer), free_quotas())
        terms = {"targets": quota.targets, "tokens_per_day": quota.tokens_per_day, "shares_data": quota.shares_data}
        return terms | _said(quota, quota.id) | rest
    raise InputError(f'a commitment of kind "{kind}" has no published offers; leave "offer" out')


@cache
def units() -> tuple[UnitRow, ...]:
    """The ways to pay for provisioned units."""
    return tuple(table_rows(_FILE, "unit", UnitRow))


@cache
def throughputs() -> tuple[ThroughputRow, ...]:
    """What one unit carries, by family and model."""
    return tuple(table_rows(_FILE, "throughput", ThroughputRow))


@cache
def free_quotas() -> tuple[FreeQuotaRow, ...]:
    """The free quotas."""
    return tuple(table_rows(_FILE, "free_quota", FreeQuotaRow))


def aged() -> list[tuple[date, bool]]:
    """When each row was read, and whether it is a placeholder."""
    return [(row.checked_on, row.is_placeholder) for row in (*units(), *throughputs(), *free_quotas())]


def _unit_terms(offer: str, model: str, count: object) -> dict[str, Any]:
    unit = _named(offer, units())
    carried = [row for row in throughputs() if unit.id.startswith(row.family)]
    row = next((row for row in carried if model in row.models), None)
    if row is None:
        models = ", ".join(sorted(name for row in carried for name in row.models))
        raise InputError(f'{unit.id} has no throughput for "{model}"; it is known for {models}')
    if not isinstance(count, int) or count < unit.min_units or (count - unit.min_units) % unit.unit_step:
        raise InputError(f"{unit.id} is sold from {unit.min_units} units in steps of {unit.unit_step}, not {count}")
    note = f"{unit.note}; throughput as of {row.checked_on}: {row.note}"
    return {
        "usd_per_unit_h": unit.hourly_usd,
        "tokens_per_min": row.tokens_per_min,
        "output_weight": row.output_weight,
    } | _said(unit, unit.id, note)


def _storage_terms(model: str) -> dict[str, Any]:
    provider, info = find_model(model)
    rows = storage_prices(f"{provider.id}/{info.id}")
    if not rows:
        raise PriceError(f"{model} has no listed price for keeping a cache; give rates = [{{ usd_per_mtok_h = ... }}]")
    newest = max(rows, key=lambda row: row.why.as_of or date.min)
    return {
        "rates": [
            {
                "usd_per_mtok_h": row.usd_per_mtok_h,
                "from_date": row.from_date if row.from_date > date.min else None,
                "to_date": row.to_date if row.to_date < date.max else None,
            }
            for row in rows
        ],
        "source": newest.why.source,
        "source_url": newest.why.source_url,
        "as_of": newest.why.as_of,
        "note": "; ".join(row.why.note for row in rows),
    }


def _named(offer: str, rows: tuple[_RowT, ...]) -> _RowT:
    row = next((row for row in rows if row.id == offer), None)
    if row is None:
        raise InputError(f'there is no offer "{offer}"; known are {", ".join(row.id for row in rows)}')
    return row


def _said(row: _Row, offer: str, note: str | None = None) -> dict[str, Any]:
    placeholder = "placeholder; " if row.is_placeholder else ""
    return {
        "source": f"{_FILE} {offer}",
        "source_url": row.source_url,
        "as_of": row.checked_on,
        "note": placeholder + (note or row.note),
    }
