"""What a scenario asks of an option beside its cost: where data may go, what the model is for, what it must pass."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

SELF_HOSTED = "self-hosted"
"""The key under which `[quality]` gives the pass rate of the measured model."""


class DataRule(StrEnum):
    """How far the requests may travel."""

    ANYWHERE = "anywhere"
    OWN_MACHINES = "own machines"  # rented or owned, but no API
    ON_PREMISES = "on premises"  # owned only


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What the self-hosted model is for, held against its licence; what is left out is "not stated", never "no"."""

    commercial: bool | None = None
    monthly_users: Annotated[int, Field(ge=0)] | None = None
    monthly_revenue_usd: Annotated[int, Field(ge=0)] | None = None
    trains_other_models: bool | None = None
    redistributes: bool | None = None
    multimodal: bool | None = None
    region: str | None = None
    keeps_use_policy: bool | None = None

    __pydantic_config__ = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """What takes an option out whatever it costs.

    `without_providers` names API providers and renters that may not be used. `min_pass_rate_frac` is held against
    `[quality]`; an option is out only if its pass rate is below it at 95 % confidence. With `regions` (beginnings of
    region names) other machines are out, and API models unless `api_in_region` says that a contract keeps them there.
    `may_share_data`: whether an API provider may keep and use prompts and answers, as some free quotas ask; where it
    may not, such a quota is left out, and where nothing is said, the plan asks.
    `availability_frac` takes out what serves its peak less of the time, `min_vendors` what rests on fewer vendors, own
    machines counted as one. `downtime_usd_per_h` is what an hour without service loses: the expected loss is shown
    beside the cost of each option, never in it.
    """

    data: DataRule = DataRule.ANYWHERE
    without_providers: tuple[str, ...] = ()
    min_pass_rate_frac: Annotated[float, Field(ge=0, le=1)] | None = None
    regions: tuple[str, ...] = ()
    api_in_region: tuple[str, ...] = ()
    may_share_data: bool | None = None
    availability_frac: Annotated[float, Field(gt=0, lt=1)] | None = None
    min_vendors: Annotated[int, Field(ge=1, le=5)] = 1
    downtime_usd_per_h: Annotated[float, Field(ge=0, le=1e9)] | None = None
    use: Use | None = None

    __pydantic_config__ = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class PassRate:
    """What your own tests say of a model: `passed` of `total` tasks."""

    passed: Annotated[int, Field(ge=0)]
    total: Annotated[int, Field(ge=1)]
    suite: str
    source: str = ""

    __pydantic_config__ = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        if self.passed > self.total:
            raise ValueError(f"passed ({self.passed}) cannot exceed total ({self.total})")
