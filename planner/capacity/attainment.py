"""Which share of the requests meets the service level at a load that a fleet can hold, from what was simulated."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.capacity.rate_search import ATTAINMENT_PARTS
from planner.capacity.slo import AttainmentRow
from planner.capacity.staircase import CapacityCurve

Array = NDArray[np.floating[Any]]

_TOLERANCE = 1e-9


def attained_frac(curve: CapacityCurve, requests_per_s: Array, replicas: Array) -> Array:
    """Share of the requests that meet the SLO at each rate [1/s] on so many replicas; shapes broadcast.

    Between two simulated rates along the line, and between two simulated fleets along the line at the same rate per
    replica; a fleet beyond the largest counts as that one, for larger fleets smooth bursts. Not a number without
    requests, and beyond what was simulated. Worked: 100 % alone and 96 % at 2/s on one replica, the only fleet that
    was simulated, are 98 % at 4/s on four.
    """
    rates, fleet = np.broadcast_arrays(np.asarray(requests_per_s, dtype=float), np.asarray(replicas, dtype=float))
    found = np.full(rates.shape, np.nan)
    sizes = (*(row.replicas for row in curve.attainment), math.inf)
    for place, row in enumerate(curve.attainment):
        mine = (rates > 0) & (fleet >= row.replicas) & (fleet < sizes[place + 1])
        each = rates[mine] / fleet[mine]
        shares = _along(row, each)
        if place + 1 < len(curve.attainment):
            larger = _along(curve.attainment[place + 1], each)
            way = (fleet[mine] - row.replicas) / (sizes[place + 1] - row.replicas)
            shares = np.where(np.isnan(larger), shares, shares + way * (larger - shares))
        found[mine] = shares
    return found


def _along(row: AttainmentRow, requests_per_replica_s: Array) -> Array:
    known = requests_per_replica_s <= row.requests_per_replica_s[-1] * (1 + _TOLERANCE)
    shares = np.interp(requests_per_replica_s, row.requests_per_replica_s, row.attained_frac)
    return np.asarray(np.where(known, shares, np.nan))


def rows_held_by(
    curves: Sequence[CapacityCurve], failing: int, place: int, replicas: Sequence[int], rates: Sequence[float]
) -> tuple[AttainmentRow, ...]:
    """The rows of a staircase that takes the rate at `place`, from the lowest, of what several curves hold.

    In each of `failing` more worlds nothing is held. At every load the share at the same place counts, so that as many
    worlds as the staircase promises attain it.
    """
    highest = dict(zip(replicas, rates, strict=True))
    sizes = sorted({row.replicas for curve in curves for row in curve.attainment} & highest.keys())
    rows = []
    for n in sizes:
        loads = np.array([0.0, *(part * highest[n] for part in ATTAINMENT_PARTS), highest[n]])
        asked = np.maximum(loads, highest[n] * _TOLERANCE)  # as good as alone
        each = [np.nan_to_num(attained_frac(curve, asked, np.array(float(n))), nan=0.0) for curve in curves]
        shares = np.sort(np.stack([*each, *([np.zeros(loads.size)] * failing)]), axis=0)[place]
        rows.append(
            AttainmentRow(
                replicas=n, requests_per_replica_s=tuple((loads / n).tolist()), attained_frac=tuple(shares.tolist())
            )
        )
    return tuple(rows)
