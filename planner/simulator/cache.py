"""The prefix cache of a simulated engine, compiled: whole blocks, the least recently used go first."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Machine code through numba, kept on disk beside the module."""
    return cast("Callable[P, R]", njit(cache=True, nogil=True)(function))


@compiled
def matched(blocks: Ints, touched: Ints) -> int:
    """How many of a prompt's first blocks a cache holds; `touched[b]` < 0 means that it does not hold block b."""
    for k in range(blocks.size):
        if touched[blocks[k]] < 0:
            return k
    return int(blocks.size)


@compiled
def remember(
    blocks: Ints, touched: Ints, size: int, capacity: int, log: Ints, log_next: Ints, ends: Ints, at: int
) -> int:
    """Put a prompt's blocks into a cache of `capacity` blocks and drop those not used for longest; gives its new size.

    The last block counts as the oldest, so what prompts share goes last. `log[t]` is the block of touch t, a cache's
    touches form the chain `log_next` from `ends[0]` to `ends[1]`; `at` is the first free t.
    """
    for k in range(blocks.size - 1, -1, -1):
        block = blocks[k]
        if touched[block] < 0:
            size += 1
        touched[block] = at
        log[at] = block
        if ends[1] >= 0:
            log_next[ends[1]] = at
        else:
            ends[0] = at
        ends[1] = at
        at += 1
    while size > capacity:
        oldest = ends[0]
        if touched[log[oldest]] == oldest:
            touched[log[oldest]] = -1
            size -= 1
        ends[0] = log_next[oldest]
        if ends[0] < 0:
            ends[1] = -1
    return size
