"""The week of a fleet hour by hour: what is needed, what is paid, how busy it is, who is served in time."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.capacity.attainment import attained_frac
from planner.capacity.fleet import (
    boot_hours,
    machines_needed,
    missed_frac,
    replicas_needed,
    spilled_frac,
    staffed_week,
    week_of,
)
from planner.capacity.staircase import CapacityCurve, CapacityPlan, FleetRules, HourPlan, ServiceShares
from planner.workload import WeekShape

Array = NDArray[np.floating[Any]]

NO_REQUESTS, NOT_SIMULATED = "no requests in this hour", "this load was not simulated"


def plan_hours(
    curve: CapacityCurve,
    requests_per_s: float,
    shape: WeekShape,
    rules: FleetRules,
    *,
    replicas_per_machine: int = 1,
    arriving: WeekShape | None = None,
) -> CapacityPlan:
    """The week at a mean rate: whole replicas hour by hour, and how busy they are.

    `shape` is what is served; `arriving` is what is sent where some of it waits (`planner.capacity.deferral`).
    2 requests/s at 1.5 busy seconds each on 4 paid replicas are 3 / 4 = 75 % utilisation. Paid are all replicas of
    whole machines: 68 on machines of 12 are paid as 72. A replica that still boots serves nobody. Raises `ValueError`
    for a rate below 0.
    """
    if requests_per_s < 0:
        raise ValueError(f"a rate cannot be below 0 requests/s, got {requests_per_s}")
    week = week_of(shape)
    served = requests_per_s * np.array(shape.weights)
    per_machine = np.array([float(replicas_per_machine)])

    def running(lead_h: int) -> Array:
        """Replicas of every hour that began to boot so many hours before they are needed."""
        rates = requests_per_s * np.full(served.size, week.peak)
        if rules.scale_by_hour:
            rates = requests_per_s * np.array(staffed_week(week, lead_h, rules.min_up_h).by_hour)
        return machines_needed(curve, rates, rules, per_machine) * replicas_per_machine

    serving = running(0)
    return _week(
        curve,
        served,
        requests_per_s * np.array((arriving or shape).weights),
        serving=serving,
        paid=running(boot_hours(curve, rules)),
        attained=attained_frac(curve, served, serving),
        overflow=np.zeros(served.size),
        peak_replicas=int(machines_needed(curve, np.array([served.max()]), rules, np.ones(1))[0]),
    )


def base_hours(
    curve: CapacityCurve,
    requests_per_s: float,
    shape: WeekShape,
    *,
    replicas: int,
    arriving: WeekShape | None = None,
) -> CapacityPlan:
    """The week of a base that runs all the time while an API takes what it would serve too late.

    Overflow is decided request by request in the simulator (`planner.capacity.overflow`); what leaves is taken to be
    in time.
    """
    served = requests_per_s * np.array(shape.weights)
    fleet = np.full(served.size, float(replicas))
    overflow = spilled_frac(curve, served, fleet)
    return _week(
        curve,
        served,
        requests_per_s * np.array((arriving or shape).weights),
        serving=fleet,
        paid=fleet,
        attained=1.0 - overflow - missed_frac(curve, served, fleet),
        overflow=overflow,
        peak_replicas=replicas,
    )


def _week(
    curve: CapacityCurve,
    served: Array,
    sent: Array,
    *,
    serving: Array,
    paid: Array,
    attained: Array,
    overflow: Array,
    peak_replicas: int,
) -> CapacityPlan:
    """The hours one by one, and what they come to; `attained` is not a number where it is not known."""
    needed = replicas_needed(curve, served)
    busy = np.minimum(served * (1.0 - overflow) * curve.busy_s_per_request, paid)
    shares = [_shares(*row) for row in zip(attained.tolist(), overflow.tolist(), (served > 0).tolist(), strict=True)]
    total = float(paid.sum())
    return CapacityPlan(
        hours=tuple(
            HourPlan(
                hour_of_week=hour,
                requests_per_s=float(served[hour]),
                arriving_per_s=float(sent[hour]),
                needed_replicas=int(needed[hour]),
                serving_replicas=int(serving[hour]),
                paid_replicas=int(paid[hour]),
                utilisation_frac=float(busy[hour] / paid[hour]) if paid[hour] else 0.0,
                shares=shares[hour],
                no_shares="" if shares[hour] else NOT_SIMULATED if served[hour] > 0 else NO_REQUESTS,
            )
            for hour in range(served.size)
        ),
        peak_replicas=peak_replicas,
        replica_hours_per_week=total,
        utilisation_frac=float(busy.sum()) / total if total else 0.0,
        shares=_of_the_week(attained, overflow, served),
    )


def _shares(attained: float, overflow: float, has_requests: bool) -> ServiceShares | None:
    if not has_requests or np.isnan(attained):
        return None
    attained = max(attained, 0.0)
    return ServiceShares(attained_frac=attained, overflow_frac=overflow, missed_frac=max(1 - attained - overflow, 0.0))


def _of_the_week(attained: Array, overflow: Array, served: Array) -> ServiceShares | None:
    busy = served > 0
    if not busy.any():
        return None
    return _shares(
        float(np.average(attained[busy], weights=served[busy])),
        float(np.average(overflow[busy], weights=served[busy])),
        True,
    )
