"""The highest rate that a number of replicas holds, found by simulating one rate after the other."""

import dataclasses
import functools
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
        self,
        step_time: StepTime,
        limits: EngineLimits,
        workload: Workload,
        slos: Sequence[Slo],
        utilisation_frac: float,
    ) -> None:
        self.step_time, self.limits, self.workload, self.slos = step_time, limits, workload, slos
        self.utilisation_frac = utilisation_frac
        self._tried: dict[tuple[int, float], tuple[float, ...]] = {}

    def highest_rate(self, replicas: int, centre_per_s: float, place: int) -> float | None:
        """Bisection over rates 1 % apart, 1000 times around `centre_per_s`; `None` when not even the lowest holds.

        `place` is that of the service level. The rates tried first do not depend on it, so a more lenient one never
        gives a lower rate.
        """
        steps = 2 ** math.ceil(math.log2(2 * math.log(RATE_SPAN) / math.log(RATE_TOLERANCE)))
        low, high = -1, steps
        while high - low > 1:
            middle = (low + high) // 2
            if self._holds(replicas, _rate(centre_per_s, middle), place):
                low = middle
            else:
                high = middle
        return _rate(centre_per_s, low) if low >= 0 else None

    def rate_from(
        self,
        start_per_s: float,
        replicas: int,
        centre_per_s: float,
        place: int,
        *,
        least_per_s: float,
        most_per_s: float,
    ) -> float:
        """From a guess up, rate by rate of the same rates, while they hold; where the guess does not hold, down to the
        first that does. Within the limits, the lower one included. Without leaps the order of service levels stays:
        what holds for a stricter one holds for this one."""
        step = math.floor(math.log(start_per_s / _rate(centre_per_s, 0)) / math.log(RATE_TOLERANCE) + 1e-6)
        if self._holds(replicas, _rate(centre_per_s, step), place):
            while _rate(centre_per_s, step + 1) <= most_per_s and self._holds(
                replicas, _rate(centre_per_s, step + 1), place
            ):
                step += 1
            return _rate(centre_per_s, step)
        while (rate := _rate(centre_per_s, step - 1)) > least_per_s:
            step -= 1
            if self._holds(replicas, rate, place):
                return rate
        return least_per_s

    def best_frac(self, place: int) -> float:
        """The largest share of requests within a service level at any rate that was tried."""
        return max((fracs[place] for fracs in self._tried.values()), default=0.0)

    def below(self, replicas: int, highest_per_s: float, alone_frac: float, place: int) -> AttainmentRow:
        """The attainment up to the rate just found: at the rates of the search, and where it left a gap."""
        for part in ATTAINMENT_PARTS:
            rate = part * highest_per_s
            if not any(n == replicas and 1 / _NEAR < tried / rate < _NEAR for n, tried in self._tried):
                self._simulated(replicas, rate)
        known = sorted(
            (rate, fracs[place]) for (n, rate), fracs in self._tried.items() if n == replicas and rate <= highest_per_s
        )
        return AttainmentRow(
            replicas=replicas,
            requests_per_replica_s=(0.0, *(rate / replicas for rate, _ in known)),
            attained_frac=(alone_frac, *(frac for _, frac in known)),
        )

    @functools.cached_property
    def flat_out_per_replica_s(self) -> float:
        return flat_out_per_s(self.step_time, self.limits, self.workload)

    def _simulated(self, replicas: int, requests_per_s: float) -> tuple[float, ...]:
        """The attainment of each service level; a rate is simulated once."""
        fracs = self._tried.get((replicas, requests_per_s))
        if fracs is None:
            result = simulate(self.step_time, self.limits, at_rate(self.workload, requests_per_s), replicas=replicas)
            fracs = tuple(attainment_frac(result, slo) for slo in self.slos)
            self._tried[replicas, requests_per_s] = fracs
        return fracs

    def _holds(self, replicas: int, requests_per_s: float, place: int) -> bool:
        if requests_per_s > self.utilisation_frac * self.flat_out_per_replica_s * replicas:
            return False
        return self._simulated(replicas, requests_per_s)[place] >= self.slos[place].attainment_frac


def flat_out_per_s(step_time: StepTime, limits: EngineLimits, workload: Workload) -> float:
    """Requests per second that one replica gets through while it always has more to do.

    Asked for more than that, its queue grows without end, however few requests of a short log notice. How long an
    engine is busy would not tell: one that batches is busy with a single request, and takes many more at the same
    time. Found as what the log once more adds to the time when all requests are there at once, so that filling the
    batch and emptying it do not count: 1/s for one sequence at a time of one second each.
    """

    def makespan_s(copies: int) -> float:
        at_once = dataclasses.replace(
            workload,
            arrival_s=np.zeros(copies * workload.requests),
            input_tokens=np.tile(workload.input_tokens, copies),
            output_tokens=np.tile(workload.output_tokens, copies),
        )
        return simulate(step_time, limits, at_once, replicas=1).end_s

    return workload.requests / (makespan_s(2) - makespan_s(1))


def _rate(centre_per_s: float, step: int) -> float:
    return centre_per_s / RATE_SPAN * RATE_TOLERANCE**step
