"""Bytes of a result file into rows and fields, within limits; and the few ways in which readers look into them."""

import csv
import gzip
import hashlib
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from planner.errors import InputError

MAX_BYTES = 256 * 1024**2
"""Of one file, unpacked: a detailed result of 100,000 requests is smaller."""

MAX_ROWS = 1_000_000
"""Lines or list entries of one file."""

_GZIP = b"\x1f\x8b"
_DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?:[T -]?(\d{2}):?(\d{2}):?(\d{2}))?")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Document:
    """One file: its name, hash and size, and what it holds.

    `rows` are the objects of a JSON list, of JSON lines, or of a CSV with one header (all values texts); a single JSON
    object is one row. `lines` numbers them where the file has a row a line. `grid` holds the cells of a CSV.
    """

    name: str
    sha256: str
    rows: tuple[Row, ...]
    lines: tuple[int, ...] = ()
    grid: tuple[tuple[str, ...], ...] = ()

    @property
    def first(self) -> Row:
        return self.rows[0] if self.rows else {}

    def place(self, index: int) -> str:
        """Where row `index` stands, for a message."""
        return f"{self.name}:{self.lines[index]}" if self.lines else f"{self.name}, entry {index + 1}"


def read_document(name: str, content: bytes) -> Document:
    """Parse JSON, JSON lines or CSV, plain or gz. `NaN` and `Infinity` are read as missing.

    Raises `InputError` for a file that is empty, larger than `MAX_BYTES`, nested too deep, or neither of the three.
    """
    text = _unpacked(name, content)
    sha256 = hashlib.sha256(content).hexdigest()
    start = text.lstrip()[:1]
    if not start:
        raise InputError(f"{name} is empty; give a result file that a load generator wrote")
    if start in b"{[":
        rows, lines = _json_rows(name, text)
        return Document(name=name, sha256=sha256, rows=rows, lines=lines)
    grid = _csv_cells(name, text)
    header = grid[0]
    rows = tuple(dict(zip(header, cells, strict=False)) for cells in grid[1:])
    return Document(name=name, sha256=sha256, rows=rows, lines=tuple(range(2, len(rows) + 2)), grid=grid)


def _unpacked(name: str, content: bytes) -> bytes:
    if content[:2] == _GZIP:
        try:
            with gzip.open(io.BytesIO(content)) as packed:
                content = packed.read(MAX_BYTES + 1)
        except (OSError, EOFError) as error:
            raise InputError(f"{name} cannot be unpacked: {error}; write it again") from None
    if len(content) > MAX_BYTES:
        raise InputError(
            f"{name} is larger than {MAX_BYTES // 1024**2} MiB; save it without the texts of prompts and answers"
        )
    return content.removeprefix(b"\xef\xbb\xbf")


def _json_rows(name: str, text: bytes) -> tuple[tuple[Row, ...], tuple[int, ...]]:
    try:
        whole = parse_json(text)
    except ValueError as error:
        lines = text.split(b"\n")
        if len([line for line in lines if line.strip()]) < 2:
            raise InputError(f"{name} is no JSON: {error}; write it again") from None
        return _json_lines(name, lines)
    entries = whole if isinstance(whole, list) else [whole]
    return _objects(name, entries), ()


def _json_lines(name: str, lines: Sequence[bytes]) -> tuple[tuple[Row, ...], tuple[int, ...]]:
    rows, numbers = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append(parse_json(line))
        except ValueError as error:
            raise InputError(f"{name}:{number}: no JSON: {error}; remove the line or write the file again") from None
        numbers.append(number)
    return _objects(name, rows), tuple(numbers)


def _objects(name: str, entries: Sequence[object]) -> tuple[Row, ...]:
    if len(entries) > MAX_ROWS:
        raise InputError(f"{name} has more than {MAX_ROWS:,} entries; import a shorter run")
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict):
            raise InputError(f"{name}, entry {number} is no JSON object; give a file as the load generator wrote it")
    return tuple(entry for entry in entries if isinstance(entry, dict))


def parse_json(text: bytes) -> Any:
    """One JSON value; `NaN` and `Infinity`, which Python's tools write, become `None`. Raises `ValueError`."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        if b"NaN" not in text and b"Infinity" not in text:
            raise
    try:
        return json.loads(text, parse_constant=lambda _: None)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _csv_cells(name: str, text: bytes) -> tuple[tuple[str, ...], ...]:
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{name} is neither text nor gz; give the JSON, JSON lines or CSV file of a tool") from None
    try:
        grid = tuple(tuple(cell.strip() for cell in row) for row in csv.reader(io.StringIO(decoded)) if row)
    except csv.Error as error:
        raise InputError(f"{name} is no CSV: {error}; write it again") from None
    if len(grid) > MAX_ROWS:
        raise InputError(f"{name} has more than {MAX_ROWS:,} lines; import a shorter run")
    return grid


def field(value: object, *path: str | int) -> Any:
    """The value under nested keys and list places; `None` where one is missing.

    >>> field({"a": [{"b": 2}]}, "a", 0, "b"), field({"a": []}, "a", 0, "b")
    (2, None)
    """
    for step in path:
        if isinstance(step, str) and isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list | tuple) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def number(value: object, *path: str | int) -> float | None:
    """The finite number under `path`, also where it is written as text; `None` for anything else."""
    found = field(value, *path)
    if isinstance(found, bool) or not isinstance(found, int | float | str):
        return None
    try:
        figure = float(found)
    except (ValueError, OverflowError):
        return None
    return figure if math.isfinite(figure) else None


def positive(value: object, *path: str | int) -> float | None:
    """As `number`, but `None` for what is not above 0: several tools write 0 where they measured nothing."""
    found = number(value, *path)
    return found if found is not None and found > 0 else None


def numbers(value: object, *path: str | int) -> list[float]:
    """The numbers of a list; nothing where there is none, and nothing where one entry is no number."""
    found = field(value, *path)
    if not isinstance(found, list):
        return []
    figures = [number(entry) for entry in found]
    known = [figure for figure in figures if figure is not None]
    return known if len(known) == len(figures) else []


def text(value: object, *path: str | int) -> str | None:
    """The text under `path`, or a number as text; `None` for anything else and for an empty one."""
    found = field(value, *path)
    if isinstance(found, str):
        return found.strip() or None
    if isinstance(found, int | float) and not isinstance(found, bool):
        return str(found)
    return None


def has(row: Row, *names: str) -> bool:
    """Whether the row has all these keys."""
    return all(name in row for name in names)


def iso_date(written: str | None) -> str | None:
    """The date or time in any of the forms that tools write, as ISO 8601; a time without a zone stays without.

    >>> iso_date("20261120-101112"), iso_date("2026-11-20T10:11:12.5+00:00"), iso_date("yesterday")
    ('2026-11-20T10:11:12', '2026-11-20T10:11:12', None)
    """
    found = _DATE.search(written or "")
    if not found:
        return None
    year, month, day, *clock = found.groups()
    return f"{year}-{month}-{day}" + (f"T{':'.join(clock)}" if clock[0] else "")


def iso_time(epoch_s: float | None) -> str | None:
    """Unix time [s] as ISO 8601 in UTC, to the second."""
    if epoch_s is None or not 0 < epoch_s < 1e11:
        return None
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="seconds")


def mean(values: Iterable[float]) -> float | None:
    """`None` for no values."""
    known = list(values)
    return sum(known) / len(known) if known else None
