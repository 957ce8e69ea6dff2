"""Requests that one's own replicas would serve too late go to an API, one by one: how many they are at each load.

The rule is one that a gateway can run: a request that has not been scheduled when its time to wait is over leaves the
queue for the API. It may wait until serving it would end beyond its limit even on an empty replica, and until the API
itself would answer too late. Two settings go with it, tried at every load and the best one taken: how many sequences a
replica admits at once, and which part of that time a request waits.
"""

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from planner.capacity.slo import Slo, attainment_frac
from planner.capacity.staircase import CapacityCurve, SpillRow, alone_on_a_replica
from planner.profile import Profile
from planner.simulator.simulate import SimResult, simulate
from planner.workload import Workload, at_rate, burst_sample

Floats = NDArray[np.float64]

SAMPLE_REQUESTS = 10_000
"""Requests that one load is tried on; 100 of them are 1 %."""

LOADS = tuple(float(x) for x in np.geomspace(0.01, 32.0, 21))
"""Requests per replica and second that are tried, times the engine time of one."""

HALVINGS = 4
"""A replica admits its most sequences, or half, a quarter, an eighth of them."""

PATIENCE_PARTS = (1.0, 0.5, 0.0)
"""Parts of the time that a request may wait."""

FLEETS = (1, 4, 16, 64)
"""Fleet sizes that are tried; between two of them the smaller one's shares hold, for a larger one smooths bursts."""


def patience_s(profile: Profile, workload: Workload, slo: Slo, *, api_ttft_s: float) -> Floats:
    """How long each request may wait before it goes to the API [s]; below 0 where no replica serves it in time.

    With a limit of 3 s to the first token, a prompt that takes 0.4 s on an empty replica and an API that takes 1 s, a
    request waits 2 s: min(3 - 0.4, 3 - 1).
    """
    alone = alone_on_a_replica(profile.fit.step_time, profile.limits, workload)
    longest = np.full(workload.requests, np.inf)
    for limit, reached in ((slo.ttft_s, alone.ttft_s), (slo.e2e_s, alone.e2e_s)):
        if limit is not None:
            longest = np.minimum(longest, np.minimum(limit - reached, max(limit - api_ttft_s, 0.0)))
    if slo.tpot_s is not None:
        longest[alone.tpot_s > slo.tpot_s] = -1.0
    return np.where(np.isnan(alone.e2e_s), -1.0, longest)


def with_overflow(
    curve: CapacityCurve, profile: Profile, workload: Workload, slo: Slo, *, api_ttft_s: float
) -> CapacityCurve:
    """The staircase with the share of requests that leave for the API at each load and fleet size.

    What stays holds the service level: of all requests, those served here in time and those that left make up at least
    `attainment_frac`; where no setting achieves that, all leave. A longer queue is never credited with fewer.
    """
    sample = burst_sample(workload, max_requests=SAMPLE_REQUESTS)
    waits_s = patience_s(profile, sample, slo, api_ttft_s=api_ttft_s)
    per_replica = tuple(load / curve.busy_s_per_request for load in LOADS)
    rows = []
    for replicas in (n for n in FLEETS if n <= curve.replicas[-1]):
        found = [_least_share(profile, at_rate(sample, replicas * y), slo, waits_s, replicas) for y in per_replica]
        spilled = np.maximum.accumulate([each.spilled_frac for each in found])
        rows.append(
            SpillRow(
                replicas=replicas,
                requests_per_replica_s=per_replica,
                spilled_frac=tuple(spilled.tolist()),
                missed_frac=tuple(np.minimum([each.missed_frac for each in found], 1.0 - spilled).tolist()),
                max_sequences=tuple(each.max_sequences for each in found),
                patience_parts=tuple(each.patience_part for each in found),
            )
        )
    return dataclasses.replace(curve, spill=tuple(rows))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    """A setting and what comes of it; without sequences everything leaves."""

    spilled_frac: float = 1.0
    missed_frac: float = 0.0
    max_sequences: int = 0
    patience_part: float = 0.0


def run_with_overflow(
    profile: Profile, load: Workload, waits_s: Floats, *, replicas: int, max_sequences: int, patience_part: float
) -> tuple[SimResult, Floats]:
    """Serve a load where requests leave for the API, and how long each may wait before it does [s], 0 where not at all.

    Each replica admits `max_sequences`, a request waits `patience_part` of its `waits_s` (see `patience_s`).
    """
    limits = dataclasses.replace(profile.limits, max_sequences=max_sequences)
    patience = np.where(waits_s > 0, waits_s * patience_part if patience_part else 0.0, waits_s)
    result = simulate(profile.fit.step_time, limits, load, replicas=replicas, patience_s=patience)
    return result, np.maximum(patience, 0.0)


def _least_share(profile: Profile, load: Workload, slo: Slo, waits_s: Floats, replicas: int) -> _Setting:
    """The setting that holds the SLO with the smallest share that leaves; all leave if none does."""
    least = _Setting()
    most = profile.limits.max_sequences
    for sequences in sorted({max(math.ceil(most / 2**k), 1) for k in range(HALVINGS)}):
        for part in PATIENCE_PARTS:
            result, _ = run_with_overflow(
                profile, load, waits_s, replicas=replicas, max_sequences=sequences, patience_part=part
            )
            away = float(np.isnan(result.e2e_s).mean())
            attained = attainment_frac(result, slo)
            if away < least.spilled_frac and attained + away >= slo.attainment_frac:
                least = _Setting(
                    spilled_frac=away,
                    missed_frac=max(1.0 - attained - away, 0.0),
                    max_sequences=sequences,
                    patience_part=part,
                )
    return least
