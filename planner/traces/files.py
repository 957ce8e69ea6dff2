"""Opening the files of logs, and what is wrong with one that cannot be read, in one sentence."""

import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from planner.errors import InputError, reason_of

_LINE = re.compile(r"CSV Error on Line: (\d+)")
_PACKED = {".gz": "gz", ".zst": "zst"}
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """The text of a plain or gz file; bytes that are no UTF-8 become replacement characters.

    Whatever reading it runs into within the `with` block becomes an `InputError` that names the file and a remedy.
    """
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as text:
            yield text
    except (gzip.BadGzipFile, zlib.error, EOFError):
        raise InputError(not_packed(path)) from None
    except csv.Error:
        raise InputError(_no_table(path)) from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {reason_of(error)}") from None


def unreadable(path: Path, error: Exception) -> InputError:
    """What to say of a log that the reader of tables gave up on with `error`."""
    said = str(error)
    if found := _LINE.search(said):
        if "unicode" not in said:
            return InputError(f"{path}:{found[1]}: no row of a table; check the quotes and commas there")
        remedy = "it looks like UTF-16: save it as UTF-8" if _begins(path, _UTF_16) else "save the log as UTF-8"
        return InputError(f"{path}:{found[1]}: bytes that are no UTF-8 text; {remedy}, as CSV, JSONL or Parquet")
    if path.suffix in _PACKED:
        return InputError(not_packed(path))
    if path.suffix == ".parquet":
        return InputError(
            f"{path} is no Parquet file, or only a part of one; write it again, or rename it if it is text"
        )
    if "maximum line size" in said.lower():
        return InputError(_no_table(path))
    return InputError(f"cannot read the log {path} ({said.splitlines()[0].partition(': ')[2]}); check the file")


def _begins(path: Path, marks: tuple[bytes, ...]) -> bool:
    with path.open("rb") as file:
        return file.read(2) in marks


def not_packed(path: Path) -> str:
    """What to say of a file that is not, or not wholly, packed as its name says."""
    kind = _PACKED.get(path.suffix, "gz")
    return (
        f"{path} is no {kind} file, or only a part of one; pack it again, or take .{kind} off its name if it is plain"
    )


def _no_table(path: Path) -> str:
    return f"{path} is no table of text: a field or line in it is far too long; give a CSV, JSONL or Parquet file"
