"""What your own evaluation says of a model: pass rates with their uncertainty, and what a passed task costs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from planner.errors import InputError
from planner.ranges import Range

_Z_95 = 1.959963984540054  # two-sided 95 % quantile of the normal distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityResult:
    """One model on one suite of tasks. `variant` is the quantisation or setting that was tested, "" for the original.

    `errors` of the failed tasks ended without an answer. `cost_usd` is what the run is said to have cost, None where
    nobody says; it is the tool's own estimate and no invoice.
    """

    model: str
    variant: str
    suite: str
    passed: int
    total: int
    source: str
    as_of: date | None
    errors: int = 0
    cost_usd: Decimal | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.passed <= self.total or self.total == 0 or self.errors > self.total - self.passed:
            raise InputError(
                f"{self.model} on {self.suite}: {self.passed} passed, {self.errors} errors of {self.total} cannot be"
            )


class Suitability(StrEnum):
    """Whether a model reaches a minimum pass rate, at 95 % confidence."""

    REACHES = "reaches the minimum"
    UNDECIDED = "too few tasks to tell"
    FAILS = "below the minimum"


def pass_rate(result: QualityResult) -> Range:
    """The pass rate [0 to 1] with its 95 % interval after Wilson.

    center = (p + z^2 / 2n) / (1 + z^2 / n), half = z / (1 + z^2 / n) * sqrt(p (1 - p) / n + z^2 / 4n^2).
    Worked: 80 of 100 gives 0.80 within 0.711 and 0.867; 0 of 10 gives 0 within 0 and 0.278.
    Source: E. B. Wilson, Journal of the American Statistical Association 22 (1927), 209-212.
    """
    n, p = result.total, result.passed / result.total
    shrink = 1 + _Z_95**2 / n
    center = (p + _Z_95**2 / (2 * n)) / shrink
    half = _Z_95 / shrink * math.sqrt(p * (1 - p) / n + _Z_95**2 / (4 * n**2))
    return Range(low=min(p, max(0.0, center - half)), mid=p, high=max(p, min(1.0, center + half)))


def suitability(result: QualityResult, minimum: float) -> Suitability:
    """Hold the pass rate against a minimum: it reaches or fails it only if the whole interval does."""
    if not 0 <= minimum <= 1:
        raise InputError(f"a minimum pass rate lies between 0 and 1, got {minimum:g}")
    rate = pass_rate(result)
    if rate.low >= minimum:
        return Suitability.REACHES
    return Suitability.FAILS if rate.high < minimum else Suitability.UNDECIDED


def tasks_needed(rate: float, minimum: float) -> int | None:
    """How many tasks it takes until a model of true pass rate `rate` is told from `minimum`; None if they are equal.

    n = z^2 rate (1 - rate) / (rate - minimum)^2, rounded up. Worked: 0.80 against 0.75 needs 246 tasks.
    """
    if math.isclose(rate, minimum):
        return None
    return max(1, math.ceil(_Z_95**2 * rate * (1 - rate) / (rate - minimum) ** 2))


def usd_per_passed_task(usd_per_task: float, result: QualityResult) -> Range | None:
    """Cost of one passed task, if a failed one is paid for and worth nothing; None if no task was passed.

    usd_per_task / pass rate. Worked: 0.02 USD a task at 80 of 100 passed: 0.025 USD, between 0.0231 and 0.0281.
    """
    rate = pass_rate(result)
    if rate.low <= 0:
        return None
    return Range(low=usd_per_task / rate.high, mid=usd_per_task / rate.mid, high=usd_per_task / rate.low)


def result_for(results: Sequence[QualityResult], model: str, variant: str, suite: str) -> QualityResult | None:
    """The result of exactly this model, variant and suite; a quantised variant never borrows the original's score.

    Raises `InputError` if there are two.
    """
    found = [r for r in results if (r.model, r.variant, r.suite) == (model, variant, suite)]
    if len(found) > 1:
        raise InputError(f"{model} ({variant or 'original'}) has two results on {suite}; keep one")
    return found[0] if found else None
