"""When an open-loop level sends its requests: one seeded schedule, made before the level starts."""

import math
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Arrivals(StrEnum):
    """How the gaps between requests are distributed; all have mean 1 / rate."""

    POISSON = "poisson"
    GAMMA = "gamma"  # burstier than Poisson for a burstiness below 1, smoother above
    CONSTANT = "constant"


def arrival_times_s(
    kind: Arrivals, *, rate_per_s: float, duration_s: float, seed: int, burstiness: float = 1.0
) -> NDArray[np.float64]:
    """Ascending times in [0, duration_s) [s]. `burstiness` is the shape of the gamma distribution of the gaps.

    A constant rate of 4 per second over 1 s gives 0, 0.25, 0.5 and 0.75.
    """
    if kind is Arrivals.CONSTANT:
        constant = np.arange(math.ceil(duration_s * rate_per_s) + 1) / rate_per_s
        return constant[constant < duration_s]
    rng = np.random.default_rng(seed)
    shape = burstiness if kind is Arrivals.GAMMA else 1.0
    times = np.empty(0)
    last = 0.0
    while last < duration_s:
        expected = max(16, int(1.2 * rate_per_s * (duration_s - last)))
        gaps = rng.gamma(shape, 1.0 / (rate_per_s * shape), expected)
        times = np.concatenate([times, last + np.cumsum(gaps)])
        last = float(times[-1])
    return times[times < duration_s]


def dispersion_index(times_s: NDArray[np.float64], *, start_s: float, end_s: float, bins: int) -> float | None:
    """Variance over mean of the counts in equal bins: 1 for Poisson, 0 for a constant rate; `None` without arrivals.

    Its own standard error for Poisson arrivals is sqrt(2 / (bins - 1)): 0.045 with 1,000 bins.
    """
    counts, _ = np.histogram(times_s, bins=bins, range=(start_s, end_s))
    mean = float(counts.mean())
    return float(counts.var(ddof=1)) / mean if mean > 0 and bins > 1 else None
