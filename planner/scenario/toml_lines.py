"""Where the keys of a TOML text stand, so that a mistake can be pointed at."""

import re

_TABLE = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*([A-Za-z0-9_\-."'/]+?)\s*=""")


def key_lines(text: str) -> dict[tuple[int | str, ...], int]:
    """Where each table and key of a TOML text stands: path -> line number, arrays of tables counted from 0.

    Good enough to point at a mistake: keys inside multi-line strings or inline tables are not looked for.
    """
    found: dict[tuple[int | str, ...], int] = {}
    counts: dict[tuple[str, ...], int] = {}
    prefix: tuple[int | str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if table := _TABLE.match(line):
            name = _parts(table[2])
            prefix = name
            if table[1] == "[[":
                counts[name] = counts.get(name, -1) + 1
                prefix = (*name, counts[name])
            found.setdefault(prefix, number)
        elif key := _KEY.match(line):
            found.setdefault((*prefix, *_parts(key[1])), number)
    return found


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
