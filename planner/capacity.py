"""How many whole replicas hold the service level, hour by hour."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """The service level: at least `attainment_frac` of all requests meet every limit that is given.

    TTFT, TPOT and E2E are per request, in seconds, as defined in the README's nomenclature; a failed request is a miss.
    """

    attainment_frac: float
    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """ "It does not fit", as a value: what is short, by how much, and what would help."""

    bottleneck: str
    needed: float
    available: float
    unit: str
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityCurve:
    """The staircase: with `replicas[i]` replicas the service level holds up to `max_requests_per_s[i]`.

    Both ascend. `busy_s_per_request` is the mean engine time one request costs at the highest rate of the last step
    (busy replica-seconds over requests), the basis of utilisation.
    """

    replicas: tuple[int, ...]
    max_requests_per_s: tuple[float, ...]
    busy_s_per_request: float
    requests_outside_hull_frac: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRules:
    """What the operator adds to the bare need.

    `spare_replicas` run at all times on top of the need (N+1: 1). With `scale_by_hour` the fleet follows the hour's
    need but never below `min_replicas`; without it the peak's fleet runs all week.
    """

    spare_replicas: int = 1
    min_replicas: int = 1
    scale_by_hour: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HourPlan:
    """One hour of the week, Monday 00:00 = 0."""

    hour_of_week: int
    requests_per_s: float
    needed_replicas: int
    paid_replicas: int
    utilisation_frac: float  # busy replica-time over paid replica-time


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityPlan:
    """A week of whole replicas: `peak_replicas` must be owned, `replica_hours_per_week` is what rent bills."""

    hours: tuple[HourPlan, ...]
    peak_replicas: int
    replica_hours_per_week: float
    utilisation_frac: float
