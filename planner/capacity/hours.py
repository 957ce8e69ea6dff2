"""The week of a fleet hour by hour: what is needed, what is paid, how busy it is."""

import numpy as np

from planner.capacity.fleet import boot_hours, machines_needed, replicas_needed, staffed_week, week_of
from planner.capacity.staircase import CapacityCurve, CapacityPlan, FleetRules, HourPlan
from planner.workload import WeekShape


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
    whole machines: 68 on machines of 12 are paid as 72. Raises `ValueError` for a rate below 0.
    """
    if requests_per_s < 0:
        raise ValueError(f"a rate cannot be below 0 requests/s, got {requests_per_s}")
    week = week_of(shape)
    served = requests_per_s * np.array(shape.weights)
    sent = requests_per_s * np.array((arriving or shape).weights)
    paid_for = requests_per_s * np.full(served.size, week.peak)
    if rules.scale_by_hour:
        paid_for = requests_per_s * np.array(staffed_week(week, boot_hours(curve, rules), rules.min_up_h).by_hour)
    per_machine = np.array([float(replicas_per_machine)])
    needed = replicas_needed(curve, served)
    paid = machines_needed(curve, paid_for, rules, per_machine) * replicas_per_machine
    busy = np.minimum(served * curve.busy_s_per_request, paid)
    hours = tuple(
        HourPlan(
            hour_of_week=hour,
            requests_per_s=float(served[hour]),
            arriving_per_s=float(sent[hour]),
            needed_replicas=int(needed[hour]),
            paid_replicas=int(paid[hour]),
            utilisation_frac=float(busy[hour] / paid[hour]) if paid[hour] else 0.0,
        )
        for hour in range(served.size)
    )
    total = float(paid.sum())
    return CapacityPlan(
        hours=hours,
        peak_replicas=int(machines_needed(curve, np.array([served.max()]), rules, np.ones(1))[0]),
        replica_hours_per_week=total,
        utilisation_frac=float(busy.sum()) / total if total else 0.0,
    )
