"""What every command shares at the terminal: results to stdout, everything else to stderr."""

import sys
from typing import Any

import orjson
from rich.console import Console

log = Console(stderr=True, highlight=False)
"""Progress, warnings and tables that accompany a result. rich honours NO_COLOR and a stream that is no terminal."""

out = Console(highlight=False, soft_wrap=True)
"""The human-readable result of a command that was not asked for `--json`."""


def emit_json(value: Any) -> None:
    """Write one JSON object and nothing else to stdout. Dataclasses, dates and numpy values are understood."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    sys.stdout.buffer.write(orjson.dumps(value, option=options, default=str))
    sys.stdout.buffer.flush()
