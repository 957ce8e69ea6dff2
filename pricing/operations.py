"""What running machines costs besides the machines: named defaults with their range, source and date."""

import difflib

from planner.errors import PriceError
from planner.ranges import Assumption
from pricing.load import load_assumptions, load_electricity


def default_assumptions(region: str | None = None) -> tuple[Assumption, ...]:
    """The defaults of electricity, cooling, space, support, staff, network, capital and price drift.

    Their names end in their unit. Those with `is_placeholder` rest on no good primary source: an output that uses one
    must say so, and the user is expected to replace it. `region`, such as "eu" or "us-ohio", sets the electricity.
    """
    defaults = load_assumptions()
    if region is None:
        return defaults
    local = electricity(region)
    return tuple(local if default.name == local.name else default for default in defaults)


def electricity_regions() -> tuple[str, ...]:
    """The regions whose electricity price is known."""
    return tuple(load_electricity())


def electricity(region: str) -> Assumption:
    """The electricity price of one region. Raises `PriceError` with the closest regions."""
    table = load_electricity()
    if region in table:
        return table[region]
    close = difflib.get_close_matches(region.lower(), table, n=3, cutoff=0.3) or list(table)
    raise PriceError(f'no electricity price for region "{region}"; known: {", ".join(close)}')
