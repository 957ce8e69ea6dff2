"""The one summary of a sample that every JSON output uses: count, mean, p50, p95, p99, max."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

P99_MIN_COUNT = 662
"""Below this count a p99 is only indicative: 99 % confidence that the true 99th percentile is not above the largest
of n samples with some slack needs n >= 662. Source: MLPerf inference rules, early stopping, table for p99."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Summary of a non-empty sample, in the unit of the field that holds it.

    Percentiles are the linear-interpolation kind (numpy's default). The sample holds successful requests only;
    failures are counted elsewhere and never enter here as zeros.
    """

    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Percentiles over requests, in the unit of the field that holds them, ascending."""

    p50: float
    p95: float
    p99: float

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    def __post_init__(self) -> None:
        if not 0 <= self.p50 <= self.p95 <= self.p99:
            raise ValueError(
                f"percentiles are at least 0 and ascend from p50 to p99, got {self.p50:g}, {self.p95:g}, {self.p99:g}"
            )


def summarise(sample: Sequence[float] | NDArray[np.float64]) -> Distribution | None:
    """`None` for an empty sample: there is no percentile of nothing, and zero would look like a result.

    >>> summarise([1.0, 2.0, 3.0, 4.0]).p50
    2.5
    """
    values = np.asarray(sample, dtype=np.float64)
    if values.size == 0:
        return None
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    return Distribution(
        count=int(values.size),
        mean=float(values.mean()),
        p50=float(p50),
        p95=float(p95),
        p99=float(p99),
        max=float(values.max()),
    )
