"""Small values that several parts of a plan share."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRate:
    """A pass rate with its 95 % interval, all in 0 to 1; see `pricing.quality.pass_rate`."""

    passed: int
    total: int
    rate: float
    low: float
    high: float
