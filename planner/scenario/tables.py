"""The tables of a scenario file as frozen values: what each key means, and what it may be."""

import math
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from planner.capacity.slo import Slo
from planner.capacity.staircase import FleetRules
from planner.distribution import Percentiles
from planner.ranges import Range
from planner.scenario.requirements import SELF_HOSTED, PassRate, Requirements

RateKind = Literal["input", "cached_input", "cache_write", "cache_write_1h", "output", "reasoning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """An input of the scenario: a bare number in the file, or a table with low, mid, high, source and as_of.

    `low` and `high` are read as the 10th and 90th percentile. The unit stands in the name of the field or assumption.
    """

    low: float
    mid: float
    high: float
    source: str = ""
    as_of: str = ""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    def __post_init__(self) -> None:
        Range(low=self.low, mid=self.mid, high=self.high)

    @property
    def range(self) -> Range:
        return Range(low=self.low, mid=self.mid, high=self.high)


def figure(mid: float, *, source: str = "", as_of: str = "") -> Figure:
    """A figure without uncertainty."""
    return Figure(low=mid, mid=mid, high=mid, source=source, as_of=as_of)


def _spread(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"low": value, "mid": value, "high": value}
    return value


FigureField = Annotated[Figure, BeforeValidator(_spread)]


def within(*, above: float = -math.inf, at_least: float = -math.inf, at_most: float = math.inf) -> AfterValidator:
    """Refuses a figure outside the limits, at its own key."""

    def check(value: Figure) -> Figure:
        if value.low <= above:
            raise ValueError(f"must be above {above:g}, got {value.low:g}")
        if value.low < at_least:
            raise ValueError(f"must be at least {at_least:g}, got {value.low:g}")
        if value.high > at_most:
            raise ValueError(f"must be at most {at_most:g}, got {value.high:g}")
        return value

    return AfterValidator(check)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """The traffic. `log` is a request log, its path relative to the scenario file.

    `requests_per_day` replaces the log's own rate (the log then gives the mix of requests and their burstiness).
    `week_shape` says how the hours of a week differ; only a log of a week or more can show its own ("log").
    `growth_frac_per_month`, at most 1 (doubling), compounds from the second month on. `cached_input_frac` is the part
    of the prompt tokens that the API's prompt cache serves; the self-hosted side is given no such discount.
    `deferrable_frac` of every hour's requests are batch-class: they may wait up to `deferrable_deadline_h` hours, so
    machines of one's own do them in the valleys of the week (`planner.capacity.deferral`). `columns` and `time_zone`
    say how the log is to be read; see `planner.traces.request_log.read_log`.
    """

    log: str
    week_shape: Literal["flat", "servegen", "log"] = "flat"
    requests_per_day: Annotated[FigureField, within(above=0.0)] | None = None
    growth_frac_per_month: Annotated[FigureField, within(above=-1.0, at_most=1.0)] = field(
        default_factory=lambda: figure(0.0)
    )
    cached_input_frac: Annotated[FigureField, within(at_least=0.0, at_most=1.0)] = field(
        default_factory=lambda: figure(0.0)
    )
    deferrable_frac: Annotated[float, Field(ge=0, le=1)] = 0.0
    deferrable_deadline_h: Annotated[int, Field(ge=1, le=167)] = 24
    max_bad_rows: Annotated[int, Field(ge=0)] = 0
    columns: dict[Literal["arrival", "input", "output"], str] = field(default_factory=dict)
    time_zone: str | None = None

    __pydantic_config__ = ConfigDict(extra="forbid")


API_TTFT_S = 1.0
"""What an API takes to its first token where the scenario does not say: a round number, nobody's measurement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The service level of the self-hosted side; see `planner.capacity.slo.Slo`.

    With `probability` the fleet is sized so that the level holds for that share of the profile's equally likely step
    times (`planner.capacity.odds`); without it, for the best guess. `api_ttft_s` is what an API takes to its first
    token: in a hybrid a request leaves the queue that long before its limit. Where it is not stated, hybrids are sized
    with `API_TTFT_S`, and the latency of an API counts as unknown.
    """

    attainment_frac: Annotated[float, Field(gt=0, lt=1)] = 0.95
    ttft_s: Annotated[float, Field(gt=0)] | None = None
    tpot_s: Annotated[float, Field(gt=0)] | None = None
    e2e_s: Annotated[float, Field(gt=0)] | None = None
    probability: Annotated[float, Field(gt=0, lt=1)] | None = None
    api_ttft_s: Annotated[float, Field(ge=0)] | None = None

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    def __post_init__(self) -> None:
        if self.ttft_s is None and self.tpot_s is None and self.e2e_s is None:
            raise ValueError(
                "give at least one of ttft_s, tpot_s and e2e_s: without a limit one replica serves anything"
            )

    @property
    def slo(self) -> Slo:
        return Slo(attainment_frac=self.attainment_frac, ttft_s=self.ttft_s, tpot_s=self.tpot_s, e2e_s=self.e2e_s)

    @property
    def assumed_api_ttft_s(self) -> float:
        return API_TTFT_S if self.api_ttft_s is None else self.api_ttft_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What the operator adds to the bare need; see `planner.capacity.staircase.FleetRules`.

    `scale_by_hour` is for rent only.
    `target_utilisation_frac`: the fleet is asked for at most this share of what it gets through when it is never idle.
    """

    spare_replicas: Annotated[int, Field(ge=0)] = 1
    min_replicas: Annotated[int, Field(ge=0)] = 1
    scale_by_hour: bool = False
    zones: Annotated[int, Field(ge=1, le=16)] = 1
    min_up_h: Annotated[int, Field(ge=1, le=168)] = 1
    boot_s: Annotated[float, Field(ge=0, le=86_400)] | None = None
    target_utilisation_frac: Annotated[float, Field(gt=0, le=1)] = 1.0

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    @property
    def rules(self) -> FleetRules:
        return FleetRules(
            spare_replicas=self.spare_replicas,
            min_replicas=self.min_replicas,
            scale_by_hour=self.scale_by_hour,
            zones=self.zones,
            min_up_h=self.min_up_h,
            boot_s=self.boot_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How often and from which seed all assumptions are drawn at once."""

    draws: Annotated[int, Field(ge=100, le=1_000_000)] = 10_000
    seed: Annotated[int, Field(ge=0)] = 1

    __pydantic_config__ = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """An offer of the hardware table as a candidate.

    One machine carries `replicas_per_machine` copies of the measured replica, a whole number >= 1; that speed carries
    over from the measured host to the offered one is an assumption, so give it a range. `profile` names another
    profile for this offer.
    """

    offer: str
    replicas_per_machine: Annotated[FigureField, within(at_least=1.0)]
    profile: str | None = None

    __pydantic_config__ = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The options to compare: API models as provider/model, offers to rent, offers to own.

    `mixes` adds the cheapest mix of several offers, where it is at least 2 % cheaper than each alone. `hybrid` adds
    the cheapest ways to use both sides, where they are cheaper than either: a base fleet with one API model for what
    exceeds it, and an API model first with machines from some month on.
    """

    api: tuple[str, ...] = ()
    rent: tuple[Machine, ...] = ()
    own: tuple[Machine, ...] = ()
    hybrid: bool = True
    mixes: bool = True

    __pydantic_config__ = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        if not self.api and not self.rent and not self.own:
            raise ValueError("name at least one candidate under api, rent or own")
        for kind, names in (("api", self.api), ("rent", _offers(self.rent)), ("own", _offers(self.own))):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{kind} names {', '.join(twice)} more than once")
        if both := sorted(set(_offers(self.rent)) & set(_offers(self.own))):
            raise ValueError(f"{', '.join(both)} stands under rent and own; an offer is one or the other")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedLatency:
    """What an API model was measured to take, as `breakeven measure --endpoint` reports it, in seconds."""

    source: Annotated[str, Field(min_length=3, max_length=200)]
    as_of: date
    ttft_s: Percentiles | None = None
    tpot_s: Percentiles | None = None
    e2e_s: Percentiles | None = None

    __pydantic_config__ = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedRate:
    """What an API model costs in this scenario, USD per million tokens; it beats every other layer of prices.

    Kinds that are not named keep the rate of the layers below; a model that nobody knows needs input and output.
    """

    model: Annotated[str, Field(pattern=r"^[^/\s]+/\S+$")]
    usd_per_mtok: Annotated[dict[RateKind, Annotated[Decimal, Field(ge=0, le=1_000_000)]], Field(min_length=1)]
    source: Annotated[str, Field(min_length=3, max_length=200)]
    as_of: date

    __pydantic_config__ = ConfigDict(extra="forbid")


Criterion = Literal["quality", "availability", "service level", "independence", "freedom to leave", "data stays"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One question: this traffic, this service level, these candidates, these beliefs, from `start_month` on.

    `rates` are prices of API models for this scenario alone, `latency` what they take, by model.
    `own_prices` names a file with negotiated rates, discounts and commitments, `price_lock` one with the rates to plan
    with instead of those of the installed price library, `quotes` a CSV with machines of your own; see docs/prices.md.
    `evaluations` names a CSV of test results (model, suite, passed, total) that adds to `quality`; `weights` score
    what is not money (`planner.decision.matrix`). `quality` gives pass rates by API model, or under "self-hosted" for
    the measured model. `profile` is the measured replica (path relative to the scenario file, or "reference:NAME" for
    measurements that others have published). `assumptions` replaces defaults by name.
    """

    schema_version: Literal[1]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    start_month: Annotated[str, Field(pattern=r"^[2-9][0-9]{3}-(0[1-9]|1[0-2])$")]
    workload: Demand
    slo: Service
    candidates: Candidates
    profile: str | None = None
    own_prices: str | None = None
    price_lock: str | None = None
    quotes: str | None = None
    currency: Literal["USD"] = "USD"
    horizon_months: Annotated[int, Field(ge=1, le=120)] = 36
    fleet: Fleet = field(default_factory=Fleet)
    sampling: Sampling = field(default_factory=Sampling)
    requirements: Requirements = field(default_factory=Requirements)
    quality: dict[str, PassRate] = field(default_factory=dict)
    evaluations: str | None = None
    weights: dict[Criterion, Annotated[float, Field(ge=0)]] = field(default_factory=dict)
    rates: tuple[StatedRate, ...] = ()
    latency: dict[str, StatedLatency] = field(default_factory=dict)
    assumptions: dict[str, FigureField] = field(default_factory=dict)

    __pydantic_config__ = ConfigDict(extra="forbid")

    def __post_init__(self) -> None:
        lacking = [m.offer for m in (*self.candidates.rent, *self.candidates.own) if not (m.profile or self.profile)]
        if lacking:
            raise ValueError(f"self-hosting on {', '.join(lacking)} needs a measured profile: set `profile`")
        if strangers := sorted(set(self.quality) - {*self.candidates.api, SELF_HOSTED}):
            raise ValueError(f"quality names {', '.join(strangers)}; give API candidates or {SELF_HOSTED}")
        if strangers := sorted(set(self.latency) - set(self.candidates.api)):
            raise ValueError(f"latency names {', '.join(strangers)}; give API candidates")
        models = [rate.model for rate in self.rates]
        if twice := sorted({model for model in models if models.count(model) > 1}):
            raise ValueError(f"rates names {', '.join(twice)} more than once; put all its kinds into one")


def _offers(machines: tuple[Machine, ...]) -> tuple[str, ...]:
    return tuple(machine.offer for machine in machines)
