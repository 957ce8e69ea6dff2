"""What a plan believes without a measurement or a price list: named defaults with their range, source and date."""

import difflib

from planner.errors import PriceError
from planner.ranges import Assumption
from pricing.load import load_assumptions, load_electricity

NOT_COUNTED = "not stated, so not counted"
"""The source of a default that leaves something out: it is 0 or has no effect until the user states it."""


def default_assumptions(region: str | None = None) -> tuple[Assumption, ...]:
    """The defaults of electricity, cooling, space, support, staff, network, capital, price changes and availability.

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
