"""Uncertain inputs: one type for a figure that somebody believes lies between two others."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A figure with its plausible span; `low` and `high` are read as the 10th and 90th percentile.

    All three carry the same unit, which the name of the field that holds the range states.
    Raises `ValueError` unless low <= mid <= high and all are finite.
    """

    low: float
    mid: float
    high: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(x) for x in (self.low, self.mid, self.high)):
            raise ValueError(f"low, mid and high must be finite numbers, got {self.low}, {self.mid}, {self.high}")
        if not self.low <= self.mid <= self.high:
            raise ValueError(f"needs low <= mid <= high, got {self.low}, {self.mid}, {self.high}")


def certain(value: float) -> Range:
    """A figure without uncertainty: low, mid and high are all `value`."""
    return Range(low=value, mid=value, high=value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """An input of the plan that nobody measured here, with the reason to believe it.

    `as_of` is the ISO date on which the source was read. `is_placeholder` marks a default without a good primary
    source: the user is expected to replace it and every output says so.
    """

    name: str
    value: Range
    unit: str
    source: str
    as_of: str
    note: str = ""
    is_placeholder: bool = False
