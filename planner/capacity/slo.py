"""The service level, and the share of simulated requests that meet it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.simulator.simulate import SimResult


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
class AttainmentRow:
    """With so many replicas, `attained_frac[i]` of all requests meet the SLO at `requests_per_replica_s[i]`.

    Rates ascend from 0, where every request has a replica to itself, to the highest that holds the SLO.
    """

    replicas: int
    requests_per_replica_s: tuple[float, ...]
    attained_frac: tuple[float, ...]


def attainment_frac(result: SimResult, slo: Slo) -> float:
    """Share of requests that meet every limit; one not served is a miss, a single token has no TPOT to miss."""
    met: NDArray[np.bool_] = ~np.isnan(result.e2e_s)
    if slo.ttft_s is not None:
        met &= result.ttft_s <= slo.ttft_s
    if slo.tpot_s is not None:
        met &= np.isnan(result.tpot_s) | (result.tpot_s <= slo.tpot_s)
    if slo.e2e_s is not None:
        met &= result.e2e_s <= slo.e2e_s
    return float(met.mean())
