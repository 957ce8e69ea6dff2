"""What every command shares at the terminal: results to stdout, everything else to stderr."""

import os
import sys
from typing import Any

import orjson
from rich.console import Console

from planner.errors import BreakevenError


class _ResultConsole(Console):
    """A console whose stream may be full: that ends in one sentence. rich itself ends quietly on a closed pipe."""

    def print(self, *objects: Any, **options: Any) -> None:
        try:
            super().print(*objects, **options)
        except OSError as error:
            raise _cannot_write(error) from None


def _cannot_write(error: OSError) -> BreakevenError:
    """Also lets go of what is still buffered, or Python would try to write it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BreakevenError(f"cannot write the result to stdout: {error.strerror}; free some space or write elsewhere")


log = Console(stderr=True, highlight=False)
"""Progress, warnings and tables that accompany a result. rich honours NO_COLOR and a stream that is no terminal."""

out = _ResultConsole(highlight=False, soft_wrap=True)
"""The human-readable result of a command that was not asked for `--json`."""


def emit_json(value: Any) -> None:
    """Write one JSON object and nothing else to stdout. Dataclasses, dates and numpy values are understood."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    try:
        sys.stdout.buffer.write(orjson.dumps(value, option=options, default=str))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _cannot_write(error) from None
