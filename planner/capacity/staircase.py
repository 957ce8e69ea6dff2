"""How many whole replicas hold the service level, hour by hour.

The staircase is found by simulation: for a number of replicas, the workload is replayed faster and faster, its own
burst pattern kept, until too many requests miss the service level. A week is then plain arithmetic on the staircase:
`planner.capacity.fleet` and `planner.capacity.hours`.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from planner.capacity.rate_search import RateSearch
from planner.capacity.slo import AttainmentRow, Slo, attainment_frac
from planner.errors import InputError
from planner.profile import EngineLimits, Hull, Profile, Scheduler, StepTime
from planner.simulator.simulate import SimResult, simulate
from planner.simulator.step_cost import lone_ttft_s, step_s
from planner.workload import Workload, at_rate, burst_sample

MAX_REPLICAS = 256
"""Largest fleet that is simulated; beyond it the rate per replica of the last step is kept."""

GRID_STEP = 1.15
"""Ratio of the fleet sizes whose highest rate is searched for, from 8 on; those between are tried at their neighbours'
rate per replica."""

CLIMB_BELOW = 40
"""Fleet sizes below this are tried at higher rates too: there a few percent are a whole replica."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """ "It does not fit", as a value: what is short, by how much, and what would help."""

    bottleneck: str
    needed: float
    available: float
    unit: str
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SpillRow:
    """With so many replicas, `spilled_frac[i]` of the requests leave for an API at `requests_per_replica_s[i]`.

    Rates ascend, shares never fall. `missed_frac` of all requests stay and miss the SLO. `max_sequences[i]` and
    `patience_parts[i]` are the settings behind a share, 0 sequences where all leave. See `planner.capacity.overflow`.
    """

    replicas: int
    requests_per_replica_s: tuple[float, ...]
    spilled_frac: tuple[float, ...]
    missed_frac: tuple[float, ...] = ()
    max_sequences: tuple[int, ...] = ()
    patience_parts: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityCurve:
    """The staircase: with `replicas[i]` replicas the service level holds up to `max_requests_per_s[i]`.

    `replicas` ascends by one, the rates never fall. `busy_s_per_request` is the mean engine time one request costs at
    the highest rate of the last step (busy replica-seconds over requests), the basis of utilisation. `load_time_s` is
    how long one replica takes from its start to its first request, `None` where nobody measured it. `spill` says what
    leaves for an API where one takes the overflow, `attainment` which share meets the SLO below the highest rates;
    empty where that was not simulated.
    """

    replicas: tuple[int, ...]
    max_requests_per_s: tuple[float, ...]
    busy_s_per_request: float
    requests_outside_hull_frac: float
    load_time_s: float | None = None
    spill: tuple[SpillRow, ...] = ()
    attainment: tuple[AttainmentRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRules:
    """What the operator adds to the bare need.

    `spare_replicas` run on top of the need whenever there is one (N+1: 1). Machines stand in `zones` zones as evenly
    as they go, and with two or more what the loss of the fullest leaves still covers the need. With `scale_by_hour` the
    fleet follows the hour's need but never below `min_replicas` (0 scales to zero): a replica that has to boot is
    paid from the full hours before that its boot takes (`boot_s`, `None`: the profile's load time), and one that was
    started stays for `min_up_h` hours. Without it the peak's fleet runs all week.
    """

    spare_replicas: int = 1
    min_replicas: int = 1
    scale_by_hour: bool = False
    zones: int = 1
    min_up_h: int = 1
    boot_s: float | None = None

    def __post_init__(self) -> None:
        if min(self.spare_replicas, self.min_replicas) < 0 or min(self.zones, self.min_up_h) < 1:
            raise ValueError(f"replicas cannot be below 0, zones and hours not below 1, got {self}")
        if self.boot_s is not None and not (math.isfinite(self.boot_s) and self.boot_s >= 0):
            raise ValueError(f"a boot time must be finite and at least 0 s, got {self.boot_s}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceShares:
    """What becomes of all requests of a time: served by one's own replicas within the SLO, sent on to an API, or served
    too late or not at all. The three add up to 1."""

    attained_frac: float
    overflow_frac: float
    missed_frac: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HourPlan:
    """One hour of the week, Monday 00:00 = 0. `requests_per_s` are served in it, `arriving_per_s` sent in it.

    `shares` are those of the log's bursts at this rate on the replicas that serve in this hour, spare ones included;
    `None` for the reason in `no_shares`.
    """

    hour_of_week: int
    requests_per_s: float
    arriving_per_s: float
    needed_replicas: int
    serving_replicas: int  # spare ones included, without those that still boot
    paid_replicas: int
    utilisation_frac: float  # busy replica-time over paid replica-time
    shares: ServiceShares | None = None
    no_shares: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityPlan:
    """A week of whole replicas: need and spare at the peak, and what the paid machines could run in all.

    `shares` are the means of the hours by their requests; `None` where an hour with requests has none.
    """

    hours: tuple[HourPlan, ...]
    peak_replicas: int
    replica_hours_per_week: float
    utilisation_frac: float
    shares: ServiceShares | None = None


def capacity_curve(
    profile: Profile,
    workload: Workload,
    slo: Slo,
    *,
    max_replicas: int = MAX_REPLICAS,
    max_requests_per_s: float,
    target_utilisation_frac: float = 1.0,
) -> CapacityCurve | Shortfall:
    """The staircase up to `max_requests_per_s` or `max_replicas`, or why not even an empty replica holds the SLO.

    At the highest rate of a step, at least `attainment_frac` of the workload's requests meet the SLO (a request that is
    too long for the replica is a miss), and the rate is at most `target_utilisation_frac` of what the replicas get
    through when they are never idle. Fleet sizes are searched one by one up to 8 and then 1.15 times apart; between two
    of them the lower of their rates per replica is simulated, then higher ones while they hold (below 40 replicas), or
    lower ones until one does. Of a log of many hours, the bursts within the hours count
    (`planner.workload.burst_sample`).
    Raises `InputError` for an SLO or a rate that makes no sense.
    """
    return capacity_curves(
        profile,
        workload,
        (slo,),
        max_replicas=max_replicas,
        max_requests_per_s=max_requests_per_s,
        target_utilisation_frac=target_utilisation_frac,
    )[0]


def capacity_curves(
    profile: Profile,
    workload: Workload,
    slos: Sequence[Slo],
    *,
    max_replicas: int = MAX_REPLICAS,
    max_requests_per_s: float,
    target_utilisation_frac: float = 1.0,
) -> tuple[CapacityCurve | Shortfall, ...]:
    """`capacity_curve` at each service level, where every rate that several of them try is simulated once."""
    for slo in slos:
        _check(slo, max_requests_per_s, max_replicas)
    if not 0 < target_utilisation_frac <= 1:
        raise InputError(f"a target utilisation lies above 0 and up to 1, got {target_utilisation_frac}; try 0.8")
    step_time, limits = profile.fit.step_time, profile.limits
    outside_frac = outside_hull_frac(profile.fit.hull, workload)
    workload = burst_sample(workload)
    alone = alone_on_a_replica(step_time, limits, workload)
    search = RateSearch(step_time, limits, workload, slos, target_utilisation_frac)
    found: list[CapacityCurve | Shortfall] = []
    for place, slo in enumerate(slos):
        alone_frac = attainment_frac(alone, slo)
        if alone_frac < slo.attainment_frac:
            found.append(_shortfall(limits, workload, slo, alone))
            continue
        alone_per_s = 1 / float(np.nanmean(alone.e2e_s))
        simulated, rows = _steps(search, place, alone_per_s, alone_frac, max_replicas, max_requests_per_s)
        if not simulated:
            found.append(
                Shortfall(
                    bottleneck="bursts",
                    needed=slo.attainment_frac,
                    available=search.best_frac(place),
                    unit="fraction of requests within the SLO",
                    advice=f"even {max_replicas} replicas miss the SLO in the log's bursts at any rate: relax the SLO",
                )
            )
            continue
        replicas, rates, more_rows = _between(simulated, search, place, alone_per_s, alone_frac)
        last = simulate(step_time, limits, at_rate(workload, rates[-1]), replicas=replicas[-1])
        found.append(
            CapacityCurve(
                replicas=replicas,
                max_requests_per_s=rates,
                busy_s_per_request=float(last.busy_s.sum()) / (workload.requests - last.too_long),
                requests_outside_hull_frac=outside_frac,
                load_time_s=profile.load_time_s,
                attainment=tuple(sorted([*rows, *more_rows], key=lambda row: row.replicas)),
            )
        )
    return tuple(found)


def _steps(
    search: RateSearch,
    place: int,
    alone_per_s: float,
    alone_frac: float,
    max_replicas: int,
    max_requests_per_s: float,
) -> tuple[list[tuple[int, float]], list[AttainmentRow]]:
    """Simulated fleet sizes with the highest rate [1/s] of each, which never falls, and the attainment below it."""
    simulated: list[tuple[int, float]] = []
    rows: list[AttainmentRow] = []
    for n in _grid(max_replicas):
        rate = search.highest_rate(n, n * alone_per_s, place)
        if rate is None:
            continue
        if not simulated or rate >= simulated[-1][1]:  # else it is as good as the row before
            rows.append(search.below(n, rate, alone_frac, place))
        simulated.append((n, max(rate, simulated[-1][1] if simulated else 0.0)))
        if simulated[-1][1] >= max_requests_per_s:
            break
    return simulated, rows


def outside_hull_frac(hull: Hull, workload: Workload) -> float:
    """Share of requests whose prompt, output or prompt:output ratio was not measured."""
    ratio = workload.input_tokens / np.maximum(workload.output_tokens, 1)
    outside = (
        (workload.input_tokens > hull.max_input_tokens)
        | (workload.output_tokens > hull.max_output_tokens)
        | (ratio < hull.min_input_output_ratio)
        | (ratio > hull.max_input_output_ratio)
    )
    return float(outside.mean())


def _check(slo: Slo, max_requests_per_s: float, max_replicas: int) -> None:
    if not 0 < slo.attainment_frac <= 1:
        raise InputError(f"the SLO's attainment must be above 0 and at most 1, got {slo.attainment_frac}; try 0.95")
    for name, limit in (("TTFT", slo.ttft_s), ("TPOT", slo.tpot_s), ("E2E", slo.e2e_s)):
        if limit is not None and not limit > 0:
            raise InputError(f"the SLO's {name} must be above 0 s, got {limit}; leave it out if there is no limit")
    if not max_requests_per_s > 0 or max_replicas < 1:
        raise InputError(
            f"a plan needs a rate above 0 and at least one replica, got {max_requests_per_s}/s and {max_replicas}"
        )


def alone_on_a_replica(step_time: StepTime, limits: EngineLimits, workload: Workload) -> SimResult:
    """Every request on an otherwise empty replica: arrivals so far apart that none meets another."""
    i, o = int(workload.input_tokens.max()), int(workload.output_tokens.max())
    slowest_step_s = step_s(step_time, prefill_tokens=0, sequences=1, resident_tokens=i + o, attention_pairs=0)
    gap_s = 2 * lone_ttft_s(step_time, limits, i) + o * slowest_step_s + 1.0
    apart = Workload(
        name=workload.name,
        arrival_s=np.arange(workload.requests, dtype=np.float64) * gap_s,
        input_tokens=workload.input_tokens,
        output_tokens=workload.output_tokens,
        span_s=workload.requests * gap_s,
        starts_at=None,
        source=workload.source,
    )
    return simulate(step_time, limits, apart, replicas=1)


def _shortfall(limits: EngineLimits, workload: Workload, slo: Slo, alone: SimResult) -> Shortfall:
    """Which limit an empty replica misses most, at the quantile that the SLO asks for."""
    if alone.too_long > (1 - slo.attainment_frac) * workload.requests:
        longest = int((workload.input_tokens + workload.output_tokens).max())
        is_memory = limits.scheduler is Scheduler.PAGED and limits.kv_capacity_tokens < limits.context_tokens
        return Shortfall(
            bottleneck="KV memory" if is_memory else "context window",
            needed=float(longest),
            available=float(limits.kv_capacity_tokens if is_memory else limits.context_tokens),
            unit="tokens",
            advice=f"{alone.too_long} of {workload.requests} requests do not fit: "
            + ("quantise the KV cache or the weights, or use tensor parallelism" if is_memory else "")
            + ("" if is_memory else "start the engine with a longer context and measure again"),
        )
    candidates = [
        ("TTFT", alone.ttft_s, slo.ttft_s),
        ("TPOT", alone.tpot_s, slo.tpot_s),
        ("E2E", alone.e2e_s, slo.e2e_s),
    ]
    ratios = []
    for name, values, limit in candidates:
        known = values[~np.isnan(values)]
        if limit is not None and known.size:
            reached = float(np.quantile(known, slo.attainment_frac))
            ratios.append((reached / limit, name, reached, limit))
    _, name, reached, limit = max(ratios)
    share = attainment_frac(alone, slo)
    return Shortfall(
        bottleneck=f"{name} of an empty replica",
        needed=limit,
        available=reached,
        unit="s",
        advice=f"alone on a replica only {share:.0%} of the requests meet the SLO and {slo.attainment_frac:.0%} are "
        f"asked for: more replicas do not help; allow a longer {name}, shorten the prompts, or take faster hardware",
    )


def _grid(max_replicas: int) -> Iterator[int]:
    n = 1
    while n < max_replicas:
        yield n
        n = n + 1 if n < 8 else math.ceil(n * GRID_STEP)
    yield max_replicas


def _between(
    simulated: list[tuple[int, float]], search: RateSearch, place: int, alone_per_s: float, alone_frac: float
) -> tuple[tuple[int, ...], tuple[float, ...], list[AttainmentRow]]:
    """Every fleet size from the first simulated to the last, and the attainment of those that were tried higher.

    Between two the lower of their rates per replica is tried first; requests dealt in turn meet some sizes in the
    rhythm of their bursts, which then hold less than that.
    """
    replicas, rates = [simulated[0][0]], [simulated[0][1]]
    rows: list[AttainmentRow] = []
    for (n0, rate0), (n1, rate1) in itertools.pairwise(simulated):
        per_replica = min(rate0 / n0, rate1 / n1)
        for n in range(n0 + 1, n1):
            guess = min(n * per_replica, rate1)
            most = rate1 if n < CLIMB_BELOW else guess
            rate = search.rate_from(guess, n, n * alone_per_s, place, least_per_s=rates[-1], most_per_s=most)
            if n < CLIMB_BELOW and rate > rates[-1]:
                rows.append(search.below(n, rate, alone_frac, place))
            replicas.append(n)
            rates.append(max(rate, rates[-1]))
        replicas.append(n1)
        rates.append(max(rate1, rates[-1]))
    return tuple(replicas), tuple(rates), rows
