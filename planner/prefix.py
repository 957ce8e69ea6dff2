"""How much of a log's prompts repeats what an earlier request already had: the share a prefix cache can save."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from planner.errors import InputError
from planner.traces import open_text

BLOCK_TOKENS = 512
"""Tokens behind one hash of a Mooncake log. Source: github.com/kvcache-ai/Mooncake, FAST'25 traces."""


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


def read_prefix_share(path: Path) -> PrefixShare | None:
    """Of a JSONL log with `input_length` and `hash_ids` (Mooncake); `None` for a log without hashes.

    Raises `InputError` for a line whose fields cannot be read.
    """
    if ".jsonl" not in path.suffixes:
        return None
    requests = []
    with open_text(path) as text:
        for number, line in enumerate(text, start=1):
            if not line.strip():
                continue
            try:
                record = orjson.loads(line)
                if "hash_ids" not in record:
                    return None
                requests.append((int(record["input_length"]), [int(block) for block in record["hash_ids"]]))
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
                raise InputError(
                    f"{path}:{number}: the prefix hashes cannot be read: {error}; repair the line"
                ) from None
    return prefix_share(requests)
