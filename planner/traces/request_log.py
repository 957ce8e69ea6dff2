"""Request logs into a `Workload`: CSV, JSON lines and Parquet, plain, gz or zst, through DuckDB.

Nothing is dropped in silence: rows that cannot be used are listed with their line number and reason, and more of them
than allowed end in an `InputError`.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import orjson
from numpy.typing import NDArray

from planner.errors import InputError
from planner.traces.compression import check_compression
from planner.traces.files import unreadable
from planner.traces.formats import Columns, recognise
from planner.traces.row_reasons import BUCKET_REASON, MOST_TOKENS, NAMED_ZONE, row_reason
from planner.traces.time_zones import in_utc, named_zone
from planner.units import HOURS_PER_YEAR, NANOSECONDS_PER_SECOND, SECONDS_PER_HOUR
from planner.workload import Workload

MEMORY_LIMIT = "1500MB"
"""For DuckDB; beyond it spills to disk."""


NO_COLUMNS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that was left out; `line` counts from 1 and includes the header."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogReport:
    """How a log was read: the recognised format, the rows used, and every row that was not, in order of line."""

    format: str
    rows: int
    bad_rows: tuple[BadRow, ...]
    notes: tuple[str, ...] = ()


_EPOCH_UNITS_S = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3))
"""A bare number at least this large is taken as Unix time in that unit: 1e11 s would be the year 5138."""


def read_log(
    path: Path, *, max_bad_rows: int = 0, columns: Mapping[str, str] = NO_COLUMNS, time_zone: str | None = None
) -> tuple[Workload, LogReport]:
    """Read a request log. One row is one request: arrival time, prompt tokens, output tokens.

    A usage export has buckets of requests instead: they are dealt evenly over their bucket, and that is noted.
    Times may be ISO datetimes (to 100 ns or better), Unix times in s, ms, us or ns, or seconds from any zero; rows out
    of order are sorted and that is noted. `columns` names the columns `arrival`, `input` and `output` of a log whose
    own names are not known, `time_zone` (such as Europe/Berlin) the clock of dates without an offset, else taken as
    UTC; a time that this clock skipped is a bad row. Raises `InputError` for a file that is missing, empty or has no
    usable row, whose columns are not recognised, that has more than `max_bad_rows` rows that cannot be used, or whose
    requests all arrive at one instant.
    """
    workload, report = read_log_with_all_bad_rows(path, columns=columns, time_zone=time_zone)
    check_bad_rows(path, report, max_bad_rows)
    return workload, report


def check_bad_rows(path: Path, report: LogReport, max_bad_rows: int) -> None:
    """Raise `InputError` naming the first bad row when there are more than allowed."""
    bad = len(report.bad_rows)
    if bad > max_bad_rows:
        first = report.bad_rows[0]
        raise InputError(
            f"{path}:{first.line}: {first.reason}; {bad} of {report.rows + bad} rows cannot be used and "
            f"{max_bad_rows} are allowed: repair them, or leave them out with `--allow-bad-rows {bad}`"
        )


def read_log_with_all_bad_rows(
    path: Path, *, columns: Mapping[str, str] = NO_COLUMNS, time_zone: str | None = None
) -> tuple[Workload, LogReport]:
    """As `read_log`, but any number of bad rows is allowed as long as good ones remain."""
    zone = named_zone(time_zone)
    if path.is_dir():
        raise InputError(f"cannot read the log {path}: it is a directory; give one of the files in it")
    if not path.is_file():
        raise InputError(
            f"cannot read the log {path}: no such file; give a CSV, JSONL or Parquet file with one request a row"
        )
    try:
        check_compression(path)
    except OSError as error:
        raise InputError(f"cannot read the log {path}: {error.strerror}; check the file") from None
    with duckdb.connect(":memory:") as connection:
        connection.execute(
            f"SET memory_limit = '{MEMORY_LIMIT}'; SET TimeZone = 'UTC'; SET enable_progress_bar = false"
        )
        connection.execute("SET autoinstall_known_extensions = false")
        try:
            kind, header = _sniff(connection, path)
            meanings = recognise(path, header, columns)
            source = _SOURCES[kind](header, meanings)
            workload, bad_records, notes = _load(connection, source, path, meanings, zone)
            if kind is _Kind.CSV:
                lines = _lines(connection, path) if bad_records else iter(())
                bad_rows = _csv_bad_rows(lines, bad_records, _rejected_lines(connection))
            else:
                bad_rows = [BadRow(line=record, reason=reason) for record, reason in bad_records]
        except duckdb.Error as error:
            raise unreadable(path, error) from None
        except csv.Error:
            raise InputError(f"{path}:1: no header of a CSV; give a CSV, JSONL or Parquet file") from None
    if workload is None:
        detail = f"line {bad_rows[0].line}: {bad_rows[0].reason}" if bad_rows else "it is empty"
        raise InputError(f"the log {path} holds no usable request ({detail}); give one request a row with {_NEEDS}")
    if workload.span_s <= 0:
        left_out = f"; line {bad_rows[0].line} was left out: {bad_rows[0].reason}" if bad_rows else ""
        raise InputError(
            f"the log {path} holds {workload.requests} request(s) at one instant, which is no rate{left_out}; "
            "give a log with at least two arrivals"
        )
    if workload.span_s > _LONGEST_S:
        raise InputError(
            f"the log {path} spans {workload.span_s / _YEAR_S:,.4g} years, so its times are not all of one kind; "
            "write all of them in the same unit"
        )
    report = LogReport(format=meanings.format, rows=workload.requests, bad_rows=tuple(bad_rows), notes=tuple(notes))
    return workload, report


_YEAR_S = HOURS_PER_YEAR * SECONDS_PER_HOUR
_LONGEST_S = 20 * _YEAR_S
_MOST_REQUESTS = 200_000_000
"""Dealt out of buckets; more does not fit into the memory of an ordinary machine."""

_NEEDS = "a time, the prompt tokens and the output tokens, in columns such as timestamp, input_tokens, output_tokens"


CLOCK_CHANGE_SLACK_S = 300.0
"""A step back of an hour, give or take this gap between two requests, is taken for a clock that was set back."""


class _Kind(StrEnum):
    CSV = "csv"
    JSON_LINES = "jsonl"
    PARQUET = "parquet"


_LINES = (
    "read_csv(?, header = false, auto_detect = false, delim = '\x01', quote = '', escape = '', "
    "columns = {'line': 'VARCHAR'}, max_line_size = 16000000)"
)


def _sniff(connection: duckdb.DuckDBPyConnection, path: Path) -> tuple[_Kind, list[str]]:
    """What the file holds, and its column names (in JSON lines the first row's keys)."""
    if path.suffix == ".parquet":
        described = connection.execute("SELECT * FROM read_parquet(?) LIMIT 0", [str(path)]).description
        return _Kind.PARQUET, [str(column[0]) for column in described or ()]
    found = connection.execute(f"SELECT line FROM {_LINES} WHERE trim(line) <> '' LIMIT 1", [str(path)]).fetchone()
    first = str(found[0]).removeprefix("\ufeff") if found else ""
    if not first:
        raise InputError(f"the log {path} is empty; give a CSV, JSONL or Parquet file with one request a row")
    if first.lstrip().startswith("{"):
        try:
            return _Kind.JSON_LINES, list(orjson.loads(first))
        except orjson.JSONDecodeError as error:
            raise InputError(f"{path}:1: not a JSON object: {error}; JSONL needs one object a line") from None
    if first.lstrip().startswith("["):
        raise InputError(f"{path}:1: a JSON array; write one object a line (JSONL)")
    return _Kind.CSV, next(csv.reader([first]))


def _lines(connection: duckdb.DuckDBPyConnection, path: Path) -> Iterator[str]:
    """Every physical line, whatever the compression."""
    cursor = connection.execute(f"SELECT line FROM {_LINES}", [str(path)])
    while rows := cursor.fetchmany(10_000):
        for (line,) in rows:
            yield f"{line or ''}\n"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _selected(columns: Columns, expressions: Mapping[str, str]) -> str:
    """`record, t, i, o, n, e` with the expression of each column as text; n and e are NULL unless there are buckets."""
    wanted = {"t": columns.time, "i": columns.input, "o": columns.output, "n": columns.count, "e": columns.end}
    parts = [f"{expressions[name] if name else 'NULL::VARCHAR'} AS {short}" for short, name in wanted.items()]
    return ", ".join(["record", *parts])


def _csv_source(header: Sequence[str], columns: Columns) -> str:
    """SQL that yields the columns as text; the path is its one parameter. So with the other two."""
    names = [name.strip() or f"column_{number}" for number, name in enumerate(header)]
    if len(set(names)) < len(names):
        raise InputError(f"the log's header names a column twice: {', '.join(names)}; rename one of them")
    types = ", ".join(f"{_literal(name)}: 'VARCHAR'" for name in names)
    return (
        f"SELECT {_selected(columns, {name: _quoted(name) for name in names})} FROM (SELECT row_number() OVER () AS "
        f"record, * FROM read_csv(?, header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"', "
        f"columns = {{{types}}}, store_rejects = true, null_padding = true))"
    )


def _json_source(header: Sequence[str], columns: Columns) -> str:
    fields = {name: f"j ->> {_literal('$.' + chr(34) + name + chr(34))}" for name in columns.names}
    return (
        f"SELECT {_selected(columns, fields)} FROM (SELECT row_number() OVER () AS record, line, "
        f"TRY_CAST(line AS JSON) AS j FROM {_LINES}) WHERE trim(line) <> ''"
    )


def _parquet_source(header: Sequence[str], columns: Columns) -> str:
    fields = {name: f"CAST({_quoted(name)} AS VARCHAR)" for name in columns.names}
    return f"SELECT {_selected(columns, fields)} FROM (SELECT row_number() OVER () AS record, * FROM read_parquet(?))"


_SOURCES = {_Kind.CSV: _csv_source, _Kind.JSON_LINES: _json_source, _Kind.PARQUET: _parquet_source}


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


_PARSED = """
CREATE TEMP TABLE parsed AS
WITH cast_rows AS (
  SELECT record, t, i, o, n, e, TRY_CAST(t AS DOUBLE) AS number,
    regexp_replace(t, '(\\d:\\d\\d.*) +([zZ]|[+-]\\d\\d(:?\\d\\d)?|UTC|GMT)$', '\\1\\2') AS joined,
    regexp_replace(joined, '(UTC|GMT)$', 'Z') AS clock,
    regexp_matches(clock, '\\d:\\d\\d.*([zZ]|[+-]\\d\\d(:?\\d\\d)?)$') AS zoned,
    CASE WHEN zoned THEN epoch_ns(TRY_CAST(clock AS TIMESTAMPTZ))
         WHEN NOT regexp_matches(clock, {named_zone}) THEN epoch_ns(TRY_CAST(clock AS TIMESTAMP_NS)) END AS ns,
    TRY_CAST(i AS DOUBLE) AS x, TRY_CAST(o AS DOUBLE) AS y, TRY_CAST(n AS DOUBLE) AS count,
    TRY_CAST(e AS DOUBLE) - TRY_CAST(t AS DOUBLE) AS lasts
  FROM ({source}))
SELECT record, number, ns, zoned, x, y, count, lasts, good, CASE WHEN good THEN NULL ELSE [t, i, o] END AS raw
FROM (SELECT *, COALESCE((ns IS NOT NULL OR isfinite(number)) AND x BETWEEN {least} AND {most} AND x = floor(x)
                         AND y BETWEEN 0 AND {most} AND y = floor(y) {bucket}, false) AS good FROM cast_rows)
"""


def _load(
    connection: duckdb.DuckDBPyConnection, source: str, path: Path, columns: Columns, zone: ZoneInfo | None
) -> tuple[Workload | None, list[tuple[int, str]], list[str]]:
    bucket = (
        "AND count BETWEEN 0 AND 1e9 AND count = floor(count) AND lasts > 0 AND (count > 0 OR x + y = 0)"
        if columns.count
        else ""
    )
    limits = {"least": 0, "most": 10**15} if columns.count else {"least": 1, "most": MOST_TOKENS}
    named_zone = _literal(NAMED_ZONE)
    connection.execute(_PARSED.format(source=source, bucket=bucket, named_zone=named_zone, **limits), [str(path)])
    bad = [
        (int(record), BUCKET_REASON if columns.count else row_reason(*raw))
        for record, raw in connection.execute(
            "SELECT record, raw FROM parsed WHERE NOT good ORDER BY record"
        ).fetchall()
    ]
    kind = connection.execute("SELECT ns IS NOT NULL FROM parsed WHERE good ORDER BY record LIMIT 1").fetchone()
    if kind is None:
        return None, bad, []
    is_date = bool(kind[0])
    other = connection.execute(f"SELECT record FROM parsed WHERE good AND (ns IS NOT NULL) <> {is_date}").fetchall()
    mixed = "the time is a number where the first row has a date" if is_date else "the time is a date, not a number"
    bad = sorted(bad + [(int(record), mixed) for (record,) in other])
    buckets = ", count::BIGINT AS count, lasts" if columns.count else ""
    place = ", record, zoned" if is_date and zone else ""
    data = connection.execute(
        f"SELECT {'ns' if is_date else 'number'} AS at, x::BIGINT AS x, y::BIGINT AS y{buckets}{place} FROM parsed "
        f"WHERE good AND (ns IS NOT NULL) = {is_date} ORDER BY record"
    ).fetchnumpy()
    at, x, y = np.asarray(data["at"]), np.asarray(data["x"]), np.asarray(data["y"])
    notes: list[str] = []
    if is_date and zone:
        at, never = in_utc(at, np.asarray(data["zoned"]), zone, notes)
        skipped = f"the clocks of {zone.key} skipped this time"
        bad = sorted(bad + [(int(record), skipped) for record in np.asarray(data["record"])[never]])
        at, x, y = at[~never], x[~never], y[~never]
        if not at.size:
            return None, bad, notes
    order: slice | NDArray[np.int64] = slice(None)
    backwards = np.diff(at)[np.diff(at) < 0]
    if backwards.size:
        notes.append("rows were not in order of arrival; they are sorted")
        if is_date and np.any(np.abs(backwards / NANOSECONDS_PER_SECOND + SECONDS_PER_HOUR) < CLOCK_CHANGE_SLACK_S):
            notes.append(
                "the times go back by an hour, as when clocks are set back; write them with their UTC offset, "
                "or name the time zone"
            )
        order = np.argsort(at, kind="stable")
        at, x, y = at[order], x[order], y[order]
    unit_s = 1 / NANOSECONDS_PER_SECOND if is_date else columns.time_unit_s or magnitude_unit_s(float(at[0]))
    arrival_s = (at - at[0]).astype(np.float64) * unit_s
    if columns.count:
        count, lasts_s = np.asarray(data["count"]), np.asarray(data["lasts"])
        if (requests := int(count.sum())) > _MOST_REQUESTS:
            raise InputError(
                f"{path} counts {requests:,} requests; give a part of it with at most {_MOST_REQUESTS:,} and state the "
                "rate in the scenario (requests_per_day)"
            )
        arrival_s, x, y = _dealt(arrival_s, lasts_s[order], x, y, count[order])
        notes.append(
            "a usage export: sizes and moments of single requests are unknown, means per bucket stand for them"
        )
    if not arrival_s.size:
        return None, bad, notes
    workload = Workload(
        name=path.name,
        arrival_s=arrival_s,
        input_tokens=x.astype(np.int64),
        output_tokens=y.astype(np.int64),
        span_s=float(arrival_s[-1]),
        starts_at=_starts_at(at[0], unit_s, is_date, zone),
        source=str(path),
    )
    return workload, bad, notes


def _dealt(
    start_s: NDArray[np.float64],
    lasts_s: NDArray[np.float64],
    prompt: NDArray[np.int64],
    output: NDArray[np.int64],
    count: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Single requests from buckets: evenly spaced, sizes as equal as whole tokens allow, sums kept.

    3 requests with 100 prompt tokens in a minute: at 10, 30 and 50 s, with 34, 33 and 33 tokens.
    """
    bucket = np.repeat(np.arange(count.size), count)
    place = np.arange(bucket.size) - np.repeat(np.cumsum(count) - count, count)
    arrival_s = start_s[bucket] + (place + 0.5) / count[bucket] * lasts_s[bucket]
    order = np.argsort(arrival_s, kind="stable")
    shares = [total[bucket] // count[bucket] + (place < total[bucket] % count[bucket]) for total in (prompt, output)]
    first_s = arrival_s[order[0]] if order.size else 0.0
    return arrival_s[order] - first_s, np.maximum(shares[0], 1)[order], shares[1][order]


def magnitude_unit_s(first: float) -> float:
    """Seconds in one unit of a bare time: Unix times in ms, us and ns are told from seconds by their size."""
    return next((unit_s for least, unit_s in _EPOCH_UNITS_S if first >= least), 1.0)


def _starts_at(first: np.int64 | np.float64, unit_s: float, is_date: bool, zone: ZoneInfo | None) -> str | None:
    """ISO 8601 of the first arrival; `None` where the log's zero is no calendar time (before 2001 as Unix time)."""
    seconds = float(first) * unit_s
    if zone and (is_date or 1e9 <= seconds < 1e11):
        return datetime.fromtimestamp(seconds, zone).isoformat()
    if is_date:
        return str(np.datetime64(int(first), "ns"))
    return datetime.fromtimestamp(seconds, UTC).isoformat() if 1e9 <= seconds < 1e11 else None


def _rejected_lines(connection: duckdb.DuckDBPyConnection) -> dict[int, str]:
    rows = connection.execute("SELECT line, error_message FROM reject_errors ORDER BY line").fetchall()
    return {int(line): str(message).split(". ")[0].strip() for line, message in rows}


def _csv_bad_rows(lines: Iterable[str], bad_records: list[tuple[int, str]], rejected: dict[int, str]) -> list[BadRow]:
    """Bad rows by physical line: the reader numbers records, which skip the header, blank and rejected lines."""
    found = [BadRow(line=line, reason=reason) for line, reason in rejected.items()]
    reasons = dict(bad_records)
    for record, line in enumerate(_record_lines(lines, rejected), start=1):
        if record in reasons:
            found.append(BadRow(line=line, reason=reasons[record]))
    return sorted(found, key=lambda row: row.line)


def _record_lines(lines: Iterable[str], rejected: dict[int, str]) -> Iterator[int]:
    """The first line of every record that the reader kept."""
    reader = csv.reader(lines)
    is_header, before = True, 0
    for row in reader:
        line, before = before + 1, reader.line_num
        if row and not is_header and line not in rejected:
            yield line
        is_header = is_header and not row
