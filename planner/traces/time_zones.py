"""Local times without an offset, in a stated time zone: to UTC, through both changes of the clocks."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from planner.errors import InputError
from planner.units import NANOSECONDS_PER_SECOND

Ints = NDArray[np.int64]

_GRAIN_NS = int(15 * 60 * NANOSECONDS_PER_SECOND)
"""Clocks change on a quarter of an hour, at the finest."""


def to_utc_ns(local_ns: Ints, zone: ZoneInfo) -> tuple[Ints, NDArray[np.bool_], bool]:
    """Wall-clock times [ns since 1970, as if UTC], in order of writing, as UTC; those that never were; a guess made.

    In the hour that clocks repeat, times belong to its first pass until one of them is earlier than the one before it;
    from there on to the second. Without such a step they are all taken for the first pass, and that is the guess.

    In Berlin on 2023-10-29, 02:30 is 00:30 UTC, and a 02:10 written after it is 01:10 UTC; on 2023-03-26 there was no
    02:30.
    """
    grains, place = np.unique(local_ns // _GRAIN_NS, return_inverse=True)
    first, second, exists = _offsets_ns(grains, zone)
    repeated = (first != second) & exists
    utc = local_ns - first[place]
    guessed = False
    if repeated.any():
        at = np.flatnonzero(repeated[place])
        days = local_ns[at] // (96 * _GRAIN_NS)
        for day in np.unique(days).tolist():
            rows = at[days == day]
            back = np.flatnonzero(np.diff(local_ns[rows]) < 0)
            if back.size:
                late = rows[back[0] + 1 :]
                utc[late] = local_ns[late] - second[place[late]]
            else:
                guessed = True
    return utc, ~exists[place], guessed


def _offsets_ns(grains: Ints, zone: ZoneInfo) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """Of each quarter of an hour: the offset from UTC in its first and second pass, and whether it ever was."""
    first, second = np.zeros(grains.size, dtype=np.int64), np.zeros(grains.size, dtype=np.int64)
    exists = np.ones(grains.size, dtype=np.bool_)
    for k, grain in enumerate(grains.tolist()):
        wall = datetime(1970, 1, 1) + timedelta(seconds=grain * _GRAIN_NS / NANOSECONDS_PER_SECOND)
        passes = [wall.replace(tzinfo=zone, fold=fold) for fold in (0, 1)]
        offsets = [at.utcoffset() or timedelta() for at in passes]
        first[k], second[k] = (round(offset.total_seconds() * NANOSECONDS_PER_SECOND) for offset in offsets)
        exists[k] = passes[0].astimezone(UTC).astimezone(zone).replace(tzinfo=None) == wall
    return first, second, exists


def named_zone(name: str | None) -> ZoneInfo | None:
    """The time zone of a name. Raises `InputError` for one that nobody knows."""
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ValueError, ZoneInfoNotFoundError, OSError):
        raise InputError(f"there is no time zone {name!r}; give one such as Europe/Berlin or UTC") from None


def in_utc(at: Ints, zoned: NDArray[np.bool_], zone: ZoneInfo, notes: list[str]) -> tuple[Ints, NDArray[np.bool_]]:
    """Dates without an offset by the clocks of a zone; which of them those clocks never showed."""
    utc, never = at.copy(), np.zeros(at.size, dtype=np.bool_)
    utc[~zoned], never[~zoned], guessed = to_utc_ns(at[~zoned], zone)
    if guessed:
        notes.append(
            f"times in an hour that the clocks of {zone.key} repeat are taken for its first pass: "
            "nothing in the log says which they are"
        )
    return utc, never
