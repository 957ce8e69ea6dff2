"""How long the requests of a plan take under each option, from the plan's own requests in the plan's own hours.

The hours of the first month's week are simulated with the replicas that serve in them, and every request counts
once: an hour with twice the requests has twice the weight. Of a week with many different hours some stand for all.
An API takes what the scenario says; nothing is guessed.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from planner.capacity.fleet import held_rate_per_s
from planner.capacity.overflow import SAMPLE_REQUESTS, patience_s, run_with_overflow
from planner.cost.draws import Draws
from planner.cost.mix import replicas_by_hour
from planner.cost.options import (
    ApiOption,
    Frame,
    HybridOption,
    MixOption,
    Option,
    OwnOption,
    RentOption,
    StagedOption,
)
from planner.cost.paths import requests_per_s, throughput_ratio
from planner.decision.plan import OptionResult
from planner.decision.plan_parts import Latency
from planner.decision.results import profile_key
from planner.decision.wording import percent
from planner.distribution import Percentiles
from planner.profile import Profile
from planner.scenario.inputs import PlanInputs
from planner.simulator.simulate import SimResult, simulate
from planner.workload import Workload, at_rate, burst_sample

Floats = NDArray[np.floating[Any]]

SIMULATED_HOURS = 16
"""Hours that stand for a week; with 16 the p95 of the examples is within 2 % of that of all 168."""

_KEPT: WeakKeyDictionary[Workload, dict[Hashable, Latency]] = WeakKeyDictionary()
"""What was simulated last, for as long as the workload is there: a plan with other prices has the same hours."""

_MOST_KEPT = 64
_SHARES = (0.5, 0.95, 0.99)
_GOLDEN_RATIO = 0.6180339887498949  # its multiples modulo 1 fill 0 to 1 evenly in any order of the requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One hour: how many requests it stands for, and its rate [1/s] at so many replicas."""

    weight: float
    requests_per_s: float
    replicas: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Times:
    """Latencies of requests that count `weight` together; NaN for one without."""

    weight: float
    ttft_s: Floats
    tpot_s: Floats
    e2e_s: Floats


def option_latency(option: Option, result: OptionResult, frame: Frame, mid: Draws, inputs: PlanInputs) -> Latency:
    """What the requests of an option take, every assumption at mid; `result` is what the option came to."""
    match option:
        case ApiOption():
            return api_latency(option.id, inputs)
        case RentOption() | OwnOption():
            assert result.fleet is not None  # both have one
            hours = [
                Served(weight=hour.requests_per_s, requests_per_s=hour.requests_per_s, replicas=hour.serving_replicas)
                for hour in result.fleet.week.hours
            ]
            ratio = float(throughput_ratio(mid, frame)[0, 0])
            profile = inputs.profiles[profile_key(option, inputs)]
            return fleet_latency(profile, inputs.workload, hours, throughput_ratio=ratio)
        case HybridOption():
            assert result.hybrid is not None
            return _hybrid(option, result.hybrid.overflow_frac, frame, mid, inputs)
        case MixOption():
            return _mix(option, frame, mid, inputs)
        case StagedOption():
            said = f"it changes: {option.api.id} at first, {option.host.id} from month {option.api_months + 1} on"
            return _unknown("the stages are options of their own", said)


def api_latency(model: str, inputs: PlanInputs) -> Latency:
    """What the scenario says that an API model takes: under `[latency]`, else `[slo] api_ttft_s` for its TTFT."""
    stated = inputs.scenario.latency.get(model)
    if stated is not None:
        lacking = [name for name in ("ttft_s", "tpot_s", "e2e_s") if getattr(stated, name) is None]
        return Latency(
            ttft_s=stated.ttft_s,
            tpot_s=stated.tpot_s,
            e2e_s=stated.e2e_s,
            unserved_frac=None,
            basis=f"stated in the scenario: {stated.source} ({stated.as_of.isoformat()})",
            missing=f"the scenario does not state {', '.join(lacking)}" if lacking else "",
        )
    first = inputs.scenario.slo.api_ttft_s
    if first is None:
        return _unknown(
            "not stated", 'nobody stated what it takes: measure it and write [latency."MODEL"] in the scenario'
        )
    return Latency(
        ttft_s=Percentiles(p50=first, p95=first, p99=first),
        tpot_s=None,
        e2e_s=None,
        unserved_frac=None,
        basis="[slo] api_ttft_s, one figure for every API and request",
        missing='only the time to the first token is stated; [latency."MODEL"] takes the rest',
    )


def fleet_latency(
    profile: Profile, workload: Workload, hours: Sequence[Served], *, throughput_ratio: float = 1.0
) -> Latency:
    """What the requests take on replicas of one profile, by simulating the hours.

    Rates are those that the measured replica feels: one that is really 1.25 times as fast takes 1 / 1.25 of the time.
    Worked: a replica that needs 1 s of every prompt, and requests that meet no other, have p50 = p95 = p99 = 1 s TTFT.
    """
    chosen = representative(hours)

    def simulated() -> Latency:
        sample = burst_sample(workload, max_requests=SAMPLE_REQUESTS)
        times = [_served(profile, sample, hour, throughput_ratio) for hour in chosen]
        return _latency(times, f"{_simulated(chosen)}, {profile.provenance.model} at the profile's best guess")

    return _kept(workload, (_engine(profile), chosen, throughput_ratio), simulated)


def representative(hours: Sequence[Served], most: int = SIMULATED_HOURS) -> tuple[Served, ...]:
    """At most so many hours for a week: hours of equal load are one, and of the others neighbours in load are grouped.

    Groups hold about the same number of requests, each stands at its middle hour. Hours without requests do not count.
    """
    merged: dict[tuple[float, int], float] = {}
    for hour in hours:
        if hour.weight > 0:
            place = hour.requests_per_s, hour.replicas
            merged[place] = merged.get(place, 0.0) + hour.weight
    by_load = sorted(merged, key=lambda place: (place[0] / max(place[1], 1), place))
    weights = np.array([merged[place] for place in by_load])
    if len(by_load) <= most:
        groups = np.arange(len(by_load))
    else:
        middle = (np.cumsum(weights) - weights / 2) / weights.sum()
        groups = (middle * most).astype(np.int64)
    found = []
    for group in np.unique(groups).tolist():
        mine = np.flatnonzero(groups == group)
        upto = np.cumsum(weights[mine])
        rate, replicas = by_load[mine[int(np.searchsorted(upto, upto[-1] / 2))]]
        found.append(Served(weight=float(upto[-1]), requests_per_s=rate, replicas=replicas))
    return tuple(found)


def weighted_percentiles(values: Sequence[Floats], weights: Sequence[float]) -> Percentiles | None:
    """p50, p95 and p99 of samples that each count as much as their weight, whatever their size; NaN is left out.

    The smallest value below or at which lies at least that share of the weight: of 1, 2, 3 and 4 s with weight 1 and
    10 s with weight 3, half of 4 is reached at 10 s. `None` for nothing at all.
    """
    every = np.concatenate(values) if values else np.zeros(0)
    each = [np.full(part.size, weight / max(part.size, 1)) for part, weight in zip(values, weights, strict=True)]
    weight = np.concatenate(each) if each else np.zeros(0)
    known = ~np.isnan(every)
    every, weight = every[known], weight[known]
    if not every.size:
        return None
    order = np.argsort(every)
    reached = np.cumsum(weight[order])
    p50, p95, p99 = every[order][np.minimum(np.searchsorted(reached, reached[-1] * np.array(_SHARES)), every.size - 1)]
    return Percentiles(p50=float(p50), p95=float(p95), p99=float(p99))


def _served(profile: Profile, sample: Workload, hour: Served, ratio: float) -> _Times:
    load = at_rate(sample, hour.requests_per_s)
    run = simulate(profile.fit.step_time, profile.limits, load, replicas=_met(hour.replicas, sample))
    return _Times(weight=hour.weight, ttft_s=run.ttft_s / ratio, tpot_s=run.tpot_s / ratio, e2e_s=run.e2e_s / ratio)


def _met(replicas: int, sample: Workload) -> int:
    """As many replicas as the sample can meet: those beyond one a request change nothing but the time it takes."""
    return min(max(replicas, 1), sample.requests)


def _mix(option: MixOption, frame: Frame, mid: Draws, inputs: PlanInputs) -> Latency:
    """Every pool of a mix gets the part of an hour's requests that it holds of all."""
    ratio = float(throughput_ratio(mid, frame)[0, 0])
    rates = float(requests_per_s(mid, frame)[0, 0]) / ratio * np.array(frame.week.by_hour)
    pools = replicas_by_hour(option, frame, mid)
    held = np.stack([held_rate_per_s(host.curve, replicas) for host, replicas in pools])
    in_all = held.sum(axis=0)
    parts = np.divide(held, in_all, out=np.zeros_like(held), where=in_all > 0) * rates
    shares = tuple(
        (inputs.profiles[profile_key(host, inputs)], representative(_hours(served, replicas)))
        for (host, replicas), served in zip(pools, parts, strict=True)
    )

    def simulated() -> Latency:
        sample = burst_sample(inputs.workload, max_requests=SAMPLE_REQUESTS)
        times = [_served(profile, sample, hour, ratio) for profile, chosen in shares for hour in chosen]
        said = f"{_simulated(times)}, each offer serving the part that it holds of all"
        return _latency(times, f"{said}, at the profiles' best guess")

    return _kept(inputs.workload, (tuple((_engine(p), chosen) for p, chosen in shares), ratio), simulated)


def _hybrid(option: HybridOption, overflow_frac: float, frame: Frame, mid: Draws, inputs: PlanInputs) -> Latency:
    """Requests that stay are simulated; one that leaves waits as long as it may and then takes what the API takes."""
    scenario, api = inputs.scenario, api_latency(option.api.id, inputs)
    profile = inputs.profiles[profile_key(option.host, inputs)]
    ratio = float(throughput_ratio(mid, frame)[0, 0])
    rates = float(requests_per_s(mid, frame)[0, 0]) / ratio * np.array(frame.week.by_hour)
    replicas = option.machines * int(mid.values[f"{option.host.id}/replicas_per_machine"][0])
    chosen = representative(_hours(rates, np.full(rates.size, float(replicas))))
    settings = tuple(_setting(option.host, hour) for hour in chosen)

    def simulated() -> Latency:
        sample = burst_sample(inputs.workload, max_requests=SAMPLE_REQUESTS)
        waits_s = patience_s(profile, sample, scenario.slo.slo, api_ttft_s=scenario.slo.assumed_api_ttft_s)
        times = []
        for hour, (sequences, part) in zip(chosen, settings, strict=True):
            load = at_rate(sample, hour.requests_per_s)
            run, waited_s = run_with_overflow(
                profile,
                load,
                waits_s,
                replicas=_met(replicas, sample),
                max_sequences=max(sequences, 1),
                patience_part=part,
            )
            left = np.isnan(run.e2e_s) if sequences else np.ones(sample.requests, dtype=bool)
            times.append(_with_api(run, left, waited_s, sample, api, hour.weight, ratio))
        return _of_both(_latency(times, _simulated(chosen)), api, option.api.id, overflow_frac)

    key = (_engine(profile), chosen, settings, ratio, option.api.id, api, overflow_frac, scenario.slo)
    return _kept(inputs.workload, key, simulated)


def _with_api(
    run: SimResult,
    left: NDArray[np.bool_],
    waited_s: Floats,
    sample: Workload,
    api: Latency,
    weight: float,
    ratio: float,
) -> _Times:
    """What stayed as simulated, what left after its wait as the API takes it."""
    at = (np.arange(1, sample.requests + 1) * _GOLDEN_RATIO) % 1.0
    several = sample.output_tokens > 1
    return _Times(
        weight=weight,
        ttft_s=np.where(left, waited_s + _drawn(api.ttft_s, at), run.ttft_s / ratio),
        tpot_s=np.where(left, np.where(several, _drawn(api.tpot_s, at), np.nan), run.tpot_s / ratio),
        e2e_s=np.where(left, waited_s + _drawn(api.e2e_s, at), run.e2e_s / ratio),
    )


def _of_both(found: Latency, api: Latency, model: str, overflow_frac: float) -> Latency:
    """The latency of a hybrid, without the figures that need one of the API that nobody stated."""
    basis = f"{found.basis}; {percent(overflow_frac)} of the requests leave for {model}: {api.basis}"
    return replace(
        found,
        ttft_s=found.ttft_s if api.ttft_s else None,
        tpot_s=found.tpot_s if api.tpot_s else None,
        e2e_s=found.e2e_s if api.e2e_s else None,
        unserved_frac=0.0,
        basis=basis,
        missing=f"{percent(overflow_frac)} of the requests go to {model}, and {api.missing}" if api.missing else "",
    )


def _hours(rates_per_s: Floats, replicas: Floats) -> list[Served]:
    return [
        Served(weight=rate, requests_per_s=rate, replicas=int(count))
        for rate, count in zip(rates_per_s.tolist(), replicas.tolist(), strict=True)
    ]


def _setting(host: RentOption | OwnOption, hour: Served) -> tuple[int, float]:
    """Sequences and part of the patience that go with the nearest simulated load of the largest fleet not larger.

    0 sequences where everything leaves.
    """
    row = next((r for r in reversed(host.curve.spill) if r.replicas <= hour.replicas), None)
    if row is None or not hour.replicas:
        return 0, 0.0
    loads = np.log(row.requests_per_replica_s)
    place = int(np.argmin(np.abs(loads - np.log(hour.requests_per_s / hour.replicas))))
    return row.max_sequences[place], row.patience_parts[place]


def _drawn(stated: Percentiles | None, at: Floats) -> Floats:
    """Values at shares between 0 and 1: along the logarithm between the percentiles, never below p50 or above p99."""
    if stated is None:
        return np.full(at.size, np.nan)
    known = np.maximum((stated.p50, stated.p95, stated.p99), np.finfo(float).tiny)
    return np.asarray(np.exp(np.interp(at, _SHARES, np.log(known))))


def _simulated(hours: Sequence[object]) -> str:
    count = len(hours)
    return f"{count} simulated hour{'s' if count != 1 else ''} of the first month"


def _latency(times: Sequence[_Times], basis: str) -> Latency:
    weights = [part.weight for part in times]
    tpot = weighted_percentiles([part.tpot_s for part in times], weights)
    in_all = sum(weights)
    unserved = sum(part.weight * float(np.isnan(part.e2e_s).mean()) for part in times)
    return Latency(
        ttft_s=weighted_percentiles([part.ttft_s for part in times], weights),
        tpot_s=tpot,
        e2e_s=weighted_percentiles([part.e2e_s for part in times], weights),
        unserved_frac=unserved / in_all if in_all else None,
        basis=basis,
        missing="" if tpot else "no request generates a second token",
    )


def _unknown(basis: str, why: str) -> Latency:
    return Latency(ttft_s=None, tpot_s=None, e2e_s=None, unserved_frac=None, basis=basis, missing=why)


def _kept(workload: Workload, key: Hashable, simulated: Callable[[], Latency]) -> Latency:
    kept = _KEPT.setdefault(workload, {})
    if key not in kept:
        if len(kept) >= _MOST_KEPT:
            kept.clear()
        kept[key] = simulated()
    return kept[key]


def _engine(profile: Profile) -> Hashable:
    return profile.provenance.model, profile.fit.step_time, profile.limits
