"""The values that pricing hands to the planner. Money is `Decimal` here; every row carries source and date."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from planner.ranges import Range


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestShape:
    """One API call: `input_tokens` counts all prompt tokens, the cached ones included."""

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeCount:
    """`count` calls of one shape."""

    shape: RequestShape
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiBillLine:
    """One token kind at one rate: cost_usd = tokens * usd_per_mtok / 1e6, exact."""

    kind: str  # "input", "cached input", "output"
    tokens: int
    usd_per_mtok: Decimal
    cost_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiBill:
    """What a histogram of request shapes costs on one model at one moment; not rounded."""

    model: str  # "provider/model" as asked for
    matched_model: str  # the library's own id
    at: datetime
    requests: int
    lines: tuple[ApiBillLine, ...]
    total_usd: Decimal
    source: str  # library name and version
    source_url: str | None


class Term(StrEnum):
    ON_DEMAND = "on-demand"
    RESERVED = "reserved"
    SPOT = "spot"


@dataclass(frozen=True, slots=True, kw_only=True)
class RentalOffer:
    """A machine by the hour. `usd_per_h` is for the whole machine and is billed busy or idle."""

    id: str
    name: str
    provider: str
    region: str
    vcpus: int
    ram_gib: float
    accelerator: str | None
    accelerators: int
    term: Term
    usd_per_h: Range
    source_url: str
    checked_on: date
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseOffer:
    """A machine to own. Watts are of the whole system; `residual_frac` of the price is left after `life_years`."""

    id: str
    name: str
    cpu_cores: int
    ram_gib: float
    accelerator: str | None
    accelerators: int
    price_usd: Range
    idle_w: Range
    loaded_w: Range
    life_years: Range
    residual_frac: Range
    source_url: str
    checked_on: date
    note: str
