"""The values that pricing hands to the planner. Money is `Decimal` here; every row carries source and date."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from planner.ranges import Range


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestShape:
    """One API call.

    `input_tokens` counts all prompt tokens: those read from the cache and those written to it are parts of it.
    `cache_write_1h_tokens` is the part of `cache_write_tokens` that asks for the one-hour lifetime.
    `output_tokens` counts all generated tokens, `reasoning_tokens` the hidden part of them.
    """

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeCount:
    """`count` calls of one shape."""

    shape: RequestShape
    count: int


class TokenKind(StrEnum):
    """What an API bills for; `REQUEST` is a fee per call, given per million calls so that one formula serves all."""

    INPUT = "input"
    CACHED_INPUT = "cached input"
    CACHE_WRITE = "cache write"
    CACHE_WRITE_1H = "cache write 1h"
    OUTPUT = "output"
    REASONING = "reasoning"
    REQUEST = "request"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiBillLine:
    """One token kind at one rate: cost_usd = tokens * usd_per_mtok / 1e6, exact.

    `above_input_tokens` is the context tier: the line holds the requests whose prompt is longer than this.
    `provenance` names what made this rate, the layer that set it first.
    """

    kind: str  # a TokenKind
    tokens: int
    usd_per_mtok: Decimal
    cost_usd: Decimal
    above_input_tokens: int = 0
    provenance: tuple["Provenance", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Why a rate is what it is: which layer set it, from which source, as of which day (None where nobody says)."""

    layer: str  # "library", "table", "organisation", "scenario", "discount" or "surcharge"
    source: str
    source_url: str | None
    as_of: date | None
    note: str = ""

    def __str__(self) -> str:
        note = f" ({self.note})" if self.note else ""
        return f"{self.layer}: {self.source}{note}, as of {self.as_of or 'unknown'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiBill:
    """What a histogram of request shapes costs on one model at one moment; not rounded.

    `provenance` names every layer that had a say in the rates, the deciding one first.
    """

    model: str  # "provider/model" as asked for
    matched_model: str  # the library's own id
    at: datetime
    requests: int
    lines: tuple[ApiBillLine, ...]
    total_usd: Decimal
    source: str  # library name and version
    source_url: str | None
    provenance: tuple[Provenance, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiModel:
    """One entry of the price library. `context_window` is the longest prompt in tokens, None where nobody states it."""

    provider: str
    id: str
    name: str
    context_window: int | None
    deprecated: bool
    has_cache_rate: bool
    has_batch_rate: bool
    source_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateRow:
    """The price of one token kind in one context tier, for requests with more than `above_input_tokens` of prompt."""

    kind: str  # a TokenKind
    usd_per_mtok: Decimal
    above_input_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RateCard:
    """The rates of one model on one day; a kind without a rate of its own is billed as input or output.

    `usd_per_mtok` of a row is the average over the day where the price depends on the hour; `hours` then says how.
    `tiers` are the service tiers that can be asked for. `cache_storage_usd_per_mtok_h` is what keeping an explicit
    cache costs, None where our table has no price.
    """

    model: str
    matched_model: str
    at: datetime
    context_window: int | None
    rows: tuple[RateRow, ...]
    hours: tuple[str, ...]
    tiers: tuple[str, ...]
    next_change: date | None
    source: str
    source_url: str | None
    provenance: tuple[Provenance, ...] = ()
    cache_storage_usd_per_mtok_h: Decimal | None = None


class Term(StrEnum):
    ON_DEMAND = "on-demand"
    RESERVED = "reserved"
    SPOT = "spot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """A GPU or other accelerator card. Memory and bandwidth are as its maker states them, in decimal units.

    `reported_names` are the names drivers give it. `datacenter_clause` marks cards whose driver licence forbids use in
    a data centre.
    """

    id: str
    name: str
    vendor: str
    memory_gb: float
    bandwidth_gb_per_s: float
    board_w: float
    reported_names: tuple[str, ...]
    datacenter_clause: bool
    source_url: str
    checked_on: date
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RentalOffer:
    """A machine by the hour. `usd_per_h` is for the whole machine and is billed busy or idle.

    `accelerator` is an `Accelerator.id`. The price holds for at least `min_term_months`, 0 where one may leave at any
    time. `is_placeholder` marks a price without a good primary source.
    """

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
    is_placeholder: bool = False
    min_term_months: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseOffer:
    """A machine to own. Watts are of the whole system; `residual_frac` of the price is left after `life_years`.

    `cpu_cores` are physical cores, `accelerator` is an `Accelerator.id`. `is_placeholder` marks a price that rests on
    no good primary source: ask for a quote.
    """

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
    is_placeholder: bool = False
