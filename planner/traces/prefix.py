"""How much of a log's prompts repeats what an earlier request already had: the share a prefix cache can save."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK_TOKENS = 512
"""Tokens behind one hash of a Mooncake log. Source: github.com/kvcache-ai/Mooncake, FAST'25 traces."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PrefixBlocks:
    """The prompts of a workload as blocks of equal length: request i has `blocks[start[i]:start[i + 1]]`.

    Equal numbers mean equal text, with all that stands before it; numbers run from 0 to `count` - 1.
    """

    start: NDArray[np.int64]
    blocks: NDArray[np.int64]
    count: int
    block_tokens: int


def prefix_blocks(hashes: Sequence[Sequence[int]], *, block_tokens: int = BLOCK_TOKENS) -> PrefixBlocks:
    """From the block hashes of every request, in order of arrival."""
    sizes = np.array([len(row) for row in hashes], dtype=np.int64)
    flat = np.array([block for row in hashes for block in row], dtype=np.int64)
    distinct, numbers = np.unique(flat, return_inverse=True)
    return PrefixBlocks(
        start=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        blocks=numbers.astype(np.int64).reshape(-1),
        count=int(distinct.size),
        block_tokens=block_tokens,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixShare:
    """Of all prompt tokens, those whose block and all blocks before it were in an earlier request.

    `cached_frac` takes a cache that never forgets and that every replica shares: the most that can be saved.
    """

    prompt_tokens: int
    cached_tokens: int

    @property
    def cached_frac(self) -> float:
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else 0.0


def prefix_share(requests: Iterable[tuple[int, Sequence[int]]], *, block_tokens: int = BLOCK_TOKENS) -> PrefixShare:
    """From (prompt tokens, hashes of its blocks) in order of arrival.

    Two prompts of 1,100 tokens that share their first two of three blocks of 512: 1,024 of 2,200 tokens are cached.
    """
    seen: set[int] = set()
    total = cached = 0
    for tokens, hashes in requests:
        total += tokens
        known = 0
        for block in hashes:
            if block not in seen:
                break
            known += 1
        cached += min(known * block_tokens, tokens)
        seen.update(hashes)
    return PrefixShare(prompt_tokens=total, cached_tokens=cached)
