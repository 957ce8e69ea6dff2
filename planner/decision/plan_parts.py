"""Small values that several parts of a plan share."""

from dataclasses import dataclass

from planner.distribution import Percentiles


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRate:
    """A pass rate with its 95 % interval, all in 0 to 1; see `pricing.quality.pass_rate`."""

    passed: int
    total: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What the requests of an option take, percentiles over all requests of the first month's mean week.

    TTFT, TPOT and E2E are defined in the README's nomenclature. `None`: not known, and `missing` says why.
    `unserved_frac` of the requests are too long for a replica and in no percentile, `None` where no replica serves.
    `basis` says what the figures rest on.
    """

    ttft_s: Percentiles | None
    tpot_s: Percentiles | None
    e2e_s: Percentiles | None
    unserved_frac: float | None
    basis: str
    missing: str = ""
