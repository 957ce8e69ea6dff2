"""One door to the prices of a plan: published rates, your own over them, or a lock that replaces both."""

from dataclasses import dataclass
from pathlib import Path

from planner.errors import InputError
from pricing.commitments import Commitment
from pricing.layers import layered
from pricing.lock import locked
from pricing.lockfile import read_lock
from pricing.own_prices import read_own_prices
from pricing.rates import Resolve, library_rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Where rates come from, for `api_bill` and `rate_card`, and what has been promised beside them."""

    resolve: Resolve
    commitments: tuple[Commitment, ...] = ()


def open_book(own: Path | None = None, lock: Path | None = None) -> Book:
    """The rates and commitments of a price file, of a lock, or of a price file over a lock of published rates.

    A lock that was made with own prices holds them and their commitments already: laying a price file over it again
    would take a discount twice, so that is refused. Raises `InputError` for this and for a file that cannot be read.
    """
    frozen = None if lock is None else read_lock(lock)
    base = library_rates if frozen is None else locked(frozen)
    if own is None:
        return Book(resolve=base, commitments=() if frozen is None else frozen.commitments)
    if frozen is not None and frozen.holds_own_prices:
        raise InputError(f"give either the price file {own} or the lock {lock}: the lock holds own prices already")
    mine = read_own_prices(own)
    return Book(resolve=layered(mine.layers, base), commitments=mine.commitments)
