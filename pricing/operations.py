"""What running machines costs besides the machines: named defaults with their range, source and date."""

from planner.ranges import Assumption
from pricing.load import load_assumptions


def default_assumptions() -> tuple[Assumption, ...]:
    """The defaults of electricity, cooling, space, support, staff, network, capital and price drift.

    Their names end in their unit. Those with `is_placeholder` rest on no good primary source: an output that uses one
    must say so, and the user is expected to replace it.
    """
    return load_assumptions()
