"""A staircase that holds the service level with a stated probability, given how well the step time is known."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from planner.capacity.attainment import rows_held_by
from planner.capacity.slo import Slo
from planner.capacity.staircase import MAX_REPLICAS, CapacityCurve, Shortfall, alone_on_a_replica, capacity_curve
from planner.errors import InputError
from planner.profile import Profile
from planner.workload import Workload, burst_sample

_RANKED_REQUESTS = 1_000

DRAWS = 16
"""Step times of the posterior that are simulated; each takes as long as one `capacity_curve`."""


def staircase(
    profile: Profile,
    workload: Workload,
    slo: Slo,
    *,
    probability: float | None,
    max_requests_per_s: float,
    target_utilisation_frac: float = 1.0,
) -> CapacityCurve | Shortfall:
    """`curve_held_with` the probability where one is asked for, else `capacity_curve` at the best guess."""
    if probability is None:
        return capacity_curve(
            profile,
            workload,
            slo,
            max_requests_per_s=max_requests_per_s,
            target_utilisation_frac=target_utilisation_frac,
        )
    return curve_held_with(
        profile,
        workload,
        slo,
        probability=probability,
        max_requests_per_s=max_requests_per_s,
        target_utilisation_frac=target_utilisation_frac,
    )


def curve_held_with(
    profile: Profile,
    workload: Workload,
    slo: Slo,
    *,
    probability: float,
    max_requests_per_s: float,
    max_replicas: int = MAX_REPLICAS,
    target_utilisation_frac: float = 1.0,
    draws: int = DRAWS,
) -> CapacityCurve | Shortfall:
    """As `capacity_curve`, but every rate holds for at least `probability` of the equally likely step times.

    With 10 draws and a probability of 0.9, the second lowest of the 10 rates is taken for every number of replicas.
    The engine time per request is the one that is exceeded with the same small probability, and so is the share of
    requests that miss the SLO at each load. Returns the `Shortfall` of
    a draw when too many draws have one. Raises `InputError` for a probability outside 0 to 1, or for a profile without
    a posterior (measured at too few levels).
    """
    if not 0 < probability < 1:
        raise InputError(f"the probability of holding the SLO must lie between 0 and 1, got {probability}; try 0.9")
    posterior = profile.fit.posterior[:draws]
    if not posterior:
        raise InputError("the profile has no posterior, so no probability can be stated; measure more levels")
    found = [
        capacity_curve(
            dataclasses.replace(profile, fit=dataclasses.replace(profile.fit, step_time=step_time)),
            workload,
            slo,
            max_replicas=max_replicas,
            max_requests_per_s=max_requests_per_s,
            target_utilisation_frac=target_utilisation_frac,
        )
        for step_time in posterior
    ]
    curves = [result for result in found if isinstance(result, CapacityCurve)]
    shortfalls = [result for result in found if isinstance(result, Shortfall)]
    may_fail = math.floor(len(found) * (1 - probability) + 1e-9)
    if len(shortfalls) > may_fail:
        share = f"{len(shortfalls)} of {len(found)} equally likely step times"
        return dataclasses.replace(shortfalls[0], advice=f"{shortfalls[0].advice} (so say {share})")
    replicas, rates = [], []
    for n in range(1, max(curve.replicas[-1] for curve in curves) + 1):
        ordered = sorted([0.0] * len(shortfalls) + [_rate_at(curve, n) for curve in curves])
        rate = ordered[may_fail]
        if rate > 0:
            replicas.append(n)
            rates.append(rate)
        if rate >= max_requests_per_s:
            break
    if not replicas:
        raise InputError("no number of replicas holds the SLO with that probability; ask for a lower one")
    return CapacityCurve(
        replicas=tuple(replicas),
        max_requests_per_s=tuple(rates),
        busy_s_per_request=_upper([curve.busy_s_per_request for curve in curves], probability),
        requests_outside_hull_frac=curves[0].requests_outside_hull_frac,
        load_time_s=profile.load_time_s,
        attainment=rows_held_by(curves, len(shortfalls), may_fail, replicas, rates),
    )


def _rate_at(curve: CapacityCurve, replicas: int) -> float:
    """The rate of a number of replicas; beyond the last step its rate per replica, below the first 0."""
    if replicas > curve.replicas[-1]:
        return curve.max_requests_per_s[-1] * replicas / curve.replicas[-1]
    place = replicas - curve.replicas[0]
    return curve.max_requests_per_s[place] if place >= 0 else 0.0


def _upper(values: Sequence[float], probability: float) -> float:
    return float(np.quantile(values, probability, method="higher"))


def at_probability(profile: Profile, workload: Workload, probability: float | None, *, draws: int = DRAWS) -> Profile:
    """The profile with the step time that is slower than `probability` of the equally likely ones, as a best guess.

    Slow is what takes long for the workload's requests alone on a replica, on average. The profile itself without a
    probability or a posterior. Of step times of 1.0, 1.1, 1.2 and 1.3 s and 0.75, the third.
    """
    posterior = profile.fit.posterior[:draws]
    if probability is None or not posterior:
        return profile
    sample = burst_sample(workload, max_requests=_RANKED_REQUESTS)
    mean_s = [float(np.nanmean(alone_on_a_replica(each, profile.limits, sample).e2e_s)) for each in posterior]
    place = math.ceil(probability * len(posterior) - 1e-9) - 1
    chosen = posterior[int(np.argsort(mean_s, kind="stable")[max(place, 0)])]
    return dataclasses.replace(profile, fit=dataclasses.replace(profile.fit, step_time=chosen))
