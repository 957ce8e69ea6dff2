"""The highest rate that a number of replicas holds, found by simulating one rate after the other."""

import math
from collections.abc import Sequence

import numpy as np

from planner.capacity.slo import AttainmentRow, Slo, attainment_frac
from planner.profile import EngineLimits, StepTime
from planner.simulator.simulate import simulate
from planner.workload import Workload, at_rate

RATE_TOLERANCE = 1.01
"""The highest rate is bracketed to 1 %; the lower end is used."""

RATE_SPAN = 1000.0
"""Rates are tried from a 1000th of what serving one request after the other gives, to 1000 times that and more."""

ATTAINMENT_PARTS = (0.3, 0.5, 0.7, 0.85)
"""Parts of a fleet's highest rate at which its attainment is simulated, where the search for that rate did not."""

_NEAR = 1.15


class RateSearch:
    """Finds the highest rate that a number of replicas holds, for several service levels on the same simulations."""

    def __init__(
        self, step_time: StepTime, limits: EngineLimits, workload: Workload, slos: Sequence[Slo], busy_frac: float
    ) -> None:
        self.step_time, self.limits, self.workload, self.slos = step_time, limits, workload, slos
        self.busy_frac = busy_frac
        self._tried: dict[tuple[int, float], tuple[tuple[float, ...], bool]] = {}

    def highest_rate(self, replicas: int, centre_per_s: float, place: int) -> float | None:
        """Bisection over rates 1 % apart, 1000 times around `centre_per_s`; `None` when not even the lowest holds.

        `place` is that of the service level. The rates tried first do not depend on it, so a more lenient one never
        gives a lower rate.
        """
        steps = 2 ** math.ceil(math.log2(2 * math.log(RATE_SPAN) / math.log(RATE_TOLERANCE)))
        rates = centre_per_s / RATE_SPAN * RATE_TOLERANCE ** np.arange(steps)
        low, high = -1, steps
        while high - low > 1:
            middle = (low + high) // 2
            if self._holds(replicas, float(rates[middle]), place):
                low = middle
            else:
                high = middle
        return float(rates[low]) if low >= 0 else None

    def best_frac(self, place: int) -> float:
        """The largest share of requests within a service level at any rate that was tried."""
        return max((fracs[place] for fracs, _ in self._tried.values()), default=0.0)

    def below(self, replicas: int, highest_per_s: float, alone_frac: float, place: int) -> AttainmentRow:
        """The attainment up to the rate just found: at the rates of the search, and where it left a gap."""
        for part in ATTAINMENT_PARTS:
            rate = part * highest_per_s
            if not any(n == replicas and 1 / _NEAR < tried / rate < _NEAR for n, tried in self._tried):
                self._simulated(replicas, rate)
        known = sorted(
            (rate, fracs[place])
            for (n, rate), (fracs, _) in self._tried.items()
            if n == replicas and rate <= highest_per_s
        )
        return AttainmentRow(
            replicas=replicas,
            requests_per_replica_s=(0.0, *(rate / replicas for rate, _ in known)),
            attained_frac=(alone_frac, *(frac for _, frac in known)),
        )

    def _simulated(self, replicas: int, requests_per_s: float) -> tuple[tuple[float, ...], bool]:
        """The attainment of each service level, and whether every replica is idle enough; a rate is simulated once."""
        tried = self._tried.get((replicas, requests_per_s))
        if tried is None:
            load = at_rate(self.workload, requests_per_s)
            result = simulate(self.step_time, self.limits, load, replicas=replicas)
            is_idle_enough = float(result.busy_s.max()) <= self.busy_frac * load.span_s
            tried = tuple(attainment_frac(result, slo) for slo in self.slos), is_idle_enough
            self._tried[replicas, requests_per_s] = tried
        return tried

    def _holds(self, replicas: int, requests_per_s: float, place: int) -> bool:
        fracs, is_idle_enough = self._simulated(replicas, requests_per_s)
        return fracs[place] >= self.slos[place].attainment_frac and is_idle_enough
