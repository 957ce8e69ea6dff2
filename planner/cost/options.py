"""The options that a plan compares, and what all of them share."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.capacity.fleet import Week
from planner.capacity.staircase import CapacityCurve, FleetRules
from planner.cost.commitments import Promises
from pricing.types import PurchaseOffer, RentalOffer, Term

Array = NDArray[np.floating[Any]]


class OptionKind(StrEnum):
    API = "api"
    RENT = "rent"
    OWN = "own"
    HYBRID = "hybrid"
    STAGED = "staged"
    MIX = "mix"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ApiOption:
    """An API model with its dated prices for the workload's mix of requests.

    `tokens_per_request` and `usd_per_request` are means over the mix, of shape (kinds, cached levels, months); the
    levels are the values of `cached_input_frac` at which the mix was priced, ascending, at least one.
    `basis_by_month` says for each kind and month which price layers, sources and dates its rate rests on.
    `promises` is what has been promised for the model beside its price per token; `None` without a commitment.
    """

    id: str
    matched_model: str
    source: str
    source_url: str | None
    kinds: tuple[str, ...]
    cached_levels: tuple[float, ...]
    tokens_per_request: Array
    usd_per_request: Array
    basis_by_month: tuple[tuple[str, ...], ...] = ()
    promises: Promises | None = None

    @property
    def kind(self) -> OptionKind:
        return OptionKind.API


@dataclass(frozen=True, slots=True, kw_only=True)
class RentOption:
    """A rented machine that runs the measured replica `replicas_per_machine` times."""

    id: str
    offer: RentalOffer
    curve: CapacityCurve

    @property
    def kind(self) -> OptionKind:
        return OptionKind.RENT


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnOption:
    """An owned machine that runs the measured replica `replicas_per_machine` times."""

    id: str
    offer: PurchaseOffer
    curve: CapacityCurve

    @property
    def kind(self) -> OptionKind:
        return OptionKind.OWN


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HybridOption:
    """`machines` of one's own, running all the time, for the base load; what exceeds them goes to an API model.

    The base has no spare replica: the API is the fallback.
    """

    host: RentOption | OwnOption
    api: ApiOption
    machines: int

    @property
    def id(self) -> str:
        return f"{self.host.id} + {self.api.id}"

    @property
    def kind(self) -> OptionKind:
        return OptionKind.HYBRID


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StagedOption:
    """An API model up to and with month `api_months`, then self-hosting to the end of the horizon."""

    api: ApiOption
    host: RentOption | OwnOption
    api_months: int

    @property
    def id(self) -> str:
        return f"{self.api.id} until month {self.api_months}, then {self.host.id}"

    @property
    def kind(self) -> OptionKind:
        return OptionKind.STAGED


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Machines of one offer that run all the time: `machines_by_stage` holds their number in each year of the plan."""

    host: RentOption | OwnOption
    machines_by_stage: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HourStep:
    """The cheapest replicas of the hourly offers, in their order, that hold a rate [1/s] on top of the base."""

    held_per_s: float
    replicas: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MixOption:
    """Several offers for one model at once: `base` runs all the time, `hourly` machines come and go with the need.

    `steps` ascend; the first holds nothing beyond the base, the last is repeated where even more is needed. The spare
    replicas are of the offer `spare_of`, which has the fastest replica of all in the mix, so that any one may fail.
    Without hourly offers the first pool grows where the need exceeds the base.
    """

    base: tuple[Pool, ...]
    hourly: tuple[RentOption, ...]
    steps: tuple[HourStep, ...]
    spare_of: str

    @property
    def id(self) -> str:
        return " + ".join(dict.fromkeys((*(pool.host.id for pool in self.base), *(host.id for host in self.hourly))))

    @property
    def kind(self) -> OptionKind:
        return OptionKind.MIX


STAGE_MONTHS = 12
"""How often the base of a mix is sized anew."""

Option = ApiOption | RentOption | OwnOption | HybridOption | StagedOption | MixOption


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What all options share: the horizon, the hours of a week, and what the operator adds to the bare need.

    `output_mtok_per_request` are the million tokens that a request of the log generates on average, for what leaves.
    """

    horizon_months: int
    week: Week
    rules: FleetRules
    output_mtok_per_request: float = 0.0


def rules_for(option: RentOption | OwnOption, rules: FleetRules) -> FleetRules:
    """Only what is rented by the hour can follow the hour's need; what is owned or reserved is there all week."""
    follows = isinstance(option, RentOption) and option.offer.term is not Term.RESERVED
    return rules if follows else replace(rules, scale_by_hour=False)
