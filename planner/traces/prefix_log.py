"""Reads the hashes of prompt blocks from a log that carries them (Mooncake)."""

from pathlib import Path

import orjson

from planner.errors import InputError
from planner.traces.files import open_text
from planner.traces.prefix import PrefixBlocks, PrefixShare, prefix_blocks, prefix_share


def read_prefix_share(path: Path) -> PrefixShare | None:
    """Of a JSONL log with `input_length` and `hash_ids` (Mooncake); `None` for a log without hashes.

    Raises `InputError` for a line whose fields cannot be read.
    """
    rows = _read(path)
    return None if rows is None else prefix_share([(tokens, hashes) for _, tokens, hashes in rows])


def read_prefix_blocks(path: Path) -> PrefixBlocks | None:
    """The blocks of such a log's prompts, in order of arrival as `read_log` gives the requests."""
    rows = _read(path)
    return None if rows is None else prefix_blocks([hashes for *_, hashes in sorted(rows, key=lambda row: row[0])])


def _read(path: Path) -> list[tuple[float, int, list[int]]] | None:
    """(time, prompt tokens, hashes) of every line; `None` for a log without hashes."""
    if ".jsonl" not in path.suffixes or ".zst" in path.suffixes:
        return None
    rows = []
    with open_text(path) as text:
        for number, line in enumerate(text, start=1):
            if not line.strip():
                continue
            try:
                record = orjson.loads(line)
                if "hash_ids" not in record:
                    return None
                hashes = [int(block) for block in record["hash_ids"]]
                rows.append((float(record["timestamp"]), int(record["input_length"]), hashes))
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
                raise InputError(
                    f"{path}:{number}: the prefix hashes cannot be read: {error}; repair the line"
                ) from None
    return rows
