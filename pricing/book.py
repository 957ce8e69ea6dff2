"""One door to the rates of a plan: published prices, your own over them, or a lock that replaces both."""

from pathlib import Path

from planner.errors import InputError
from pricing.layers import layered
from pricing.lock import locked
from pricing.lockfile import read_lock
from pricing.own_prices import read_own_prices
from pricing.rates import Resolve, library_rates


def open_book(own: Path | None = None, lock: Path | None = None) -> Resolve:
    """The resolver to hand to `api_bill` and `rate_card`.

    A lock already holds the own prices it was made with, so the two exclude each other.
    Raises `InputError` for a file that cannot be read, or for both.
    """
    if own is not None and lock is not None:
        raise InputError(f"give either the price file {own} or the lock {lock}: the lock holds own prices already")
    if lock is not None:
        return locked(read_lock(lock))
    return library_rates if own is None else layered(read_own_prices(own).layers)
