"""Request logs into a `Workload`: CSV and JSON lines, plain or gz, with known column names, through DuckDB.

Nothing is dropped in silence: rows that cannot be used are listed with their line number and reason, and more of them
than allowed end in an `InputError`.
"""

import csv
import gzip
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import orjson

from planner.errors import InputError
from planner.units import MILLISECONDS_PER_SECOND, NANOSECONDS_PER_SECOND
from planner.workload import Workload

MEMORY_LIMIT = "1500MB"
"""For DuckDB; beyond it spills to disk."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """Which column holds what. `time_unit_s` is the length of one unit of a numeric time, `None` to go by magnitude."""

    format: str
    time: str
    input: str
    output: str
    time_unit_s: float | None = None


_KNOWN = (
    _Columns(format="azure", time="TIMESTAMP", input="ContextTokens", output="GeneratedTokens"),
    _Columns(
        format="mooncake",
        time="timestamp",
        input="input_length",
        output="output_length",
        time_unit_s=1 / MILLISECONDS_PER_SECOND,
    ),
    _Columns(format="burstgpt", time="Timestamp", input="Request tokens", output="Response tokens", time_unit_s=1.0),
    _Columns(format="vllm", time="arrival_time", input="input_toks", output="output_toks", time_unit_s=1.0),
)

_TIME_NAMES = (
    *("arrival_s", "arrival_time_s", "time_s", "timestamp_s", "timestamp_ms", "time_ms", "timestamp_ns", "timestamp"),
    *("time", "datetime", "arrival_time", "arrived_at", "created_at", "created", "start_time"),
)
_INPUT_NAMES = ("input_tokens", "prompt_tokens", "context_tokens", "input_length", "request_tokens", "num_input_tokens")
_OUTPUT_NAMES = (
    *("output_tokens", "completion_tokens", "generated_tokens", "output_length", "response_tokens"),
    "num_output_tokens",
)
_SUFFIX_UNIT_S = {"_s": 1.0, "_ms": 1 / MILLISECONDS_PER_SECOND, "_ns": 1 / NANOSECONDS_PER_SECOND}

_EPOCH_UNITS_S = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3))
"""A bare number at least this large is taken as Unix time in that unit: 1e11 s would be the year 5138."""


def read_log(path: Path, *, max_bad_rows: int = 0) -> tuple[Workload, LogReport]:
    """Read a request log. One row is one request: arrival time, prompt tokens, output tokens.

    Times may be ISO datetimes (to 100 ns or better), Unix times in s, ms, us or ns, or seconds from any zero; rows out
    of order are sorted and that is noted. Raises `InputError` for a file that is missing, empty or has no usable row,
    whose columns are not recognised, that has more than `max_bad_rows` rows that cannot be used, or whose requests all
    arrive at one instant.
    """
    workload, report = read_log_with_all_bad_rows(path)
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


def read_log_with_all_bad_rows(path: Path) -> tuple[Workload, LogReport]:
    """As `read_log`, but any number of bad rows is allowed as long as good ones remain."""
    if not path.is_file():
        raise InputError(f"cannot read the log {path}: no such file; give a CSV or JSONL file with one request a row")
    is_json, header = _sniff(path)
    columns = _recognise(path, header)
    with duckdb.connect(":memory:") as connection:
        connection.execute(
            f"SET memory_limit = '{MEMORY_LIMIT}'; SET TimeZone = 'UTC'; SET enable_progress_bar = false"
        )
        connection.execute("SET autoinstall_known_extensions = false")
        source = _json_source(columns) if is_json else _csv_source(header, columns)
        try:
            workload, bad_records, sorted_note = _load(connection, source, path, columns)
        except duckdb.Error as error:
            raise InputError(f"cannot read the log {path}: {str(error).splitlines()[0]}; check the file") from None
        rejected = {} if is_json else _rejected_lines(connection)
    if is_json:
        bad_rows = [BadRow(line=record, reason=reason) for record, reason in bad_records]
    else:
        bad_rows = _csv_bad_rows(path, bad_records, rejected)
    if workload is None:
        detail = f"line {bad_rows[0].line}: {bad_rows[0].reason}" if bad_rows else "it is empty"
        raise InputError(f"the log {path} holds no usable request ({detail}); give one request a row with {_NEEDS}")
    report = LogReport(
        format=columns.format, rows=workload.requests, bad_rows=tuple(bad_rows), notes=tuple(sorted_note)
    )
    return workload, report


_NEEDS = "a time, the prompt tokens and the output tokens, in columns such as timestamp, input_tokens, output_tokens"


def open_text(path: Path) -> io.TextIOWrapper:
    """The text of a plain or gz file; bytes that are no UTF-8 become replacement characters."""
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8-sig", errors="replace", newline="")
    return path.open(encoding="utf-8-sig", errors="replace", newline="")


def _sniff(path: Path) -> tuple[bool, list[str]]:
    """Whether the file holds JSON lines, and its column names (the first row's keys)."""
    with open_text(path) as text:
        first = next((line for line in text if line.strip()), "")
    if not first:
        raise InputError(f"the log {path} is empty; give a CSV or JSONL file with one request a row")
    if first.lstrip().startswith("{"):
        try:
            return True, list(orjson.loads(first))
        except orjson.JSONDecodeError as error:
            raise InputError(f"{path}:1: not a JSON object: {error}; JSONL needs one object a line") from None
    return False, next(csv.reader([first]))


def _recognise(path: Path, header: Sequence[str]) -> _Columns:
    names = [name.strip() for name in header]
    for known in _KNOWN:
        if {known.time, known.input, known.output} <= set(names):
            return known
    by_key = {name.lower().replace(" ", "_"): name for name in names}
    found = [
        next((by_key[n] for n in wanted if n in by_key), None) for wanted in (_TIME_NAMES, _INPUT_NAMES, _OUTPUT_NAMES)
    ]
    time, prompt, output = found
    if time is None or prompt is None or output is None:
        missing = "the time" if time is None else "input tokens" if prompt is None else "output tokens"
        raise InputError(
            f"{path}:1: no column for {missing} "
            f"among {', '.join(names[:12])}; name the columns timestamp, input_tokens, output_tokens"
        )
    unit = next((u for suffix, u in _SUFFIX_UNIT_S.items() if time.lower().endswith(suffix)), None)
    return _Columns(format="generic", time=time, input=prompt, output=output, time_unit_s=unit)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _csv_source(header: Sequence[str], columns: _Columns) -> str:
    """SQL that yields record, time, input and output as text; the path is its one parameter."""
    names = [name.strip() or f"column_{number}" for number, name in enumerate(header)]
    if len(set(names)) < len(names):
        raise InputError(f"the log's header names a column twice: {', '.join(names)}; rename one of them")
    types = ", ".join(f"{_literal(name)}: 'VARCHAR'" for name in names)
    return (
        f"SELECT row_number() OVER () AS record, {_quoted(columns.time)} AS t, {_quoted(columns.input)} AS i, "
        f"{_quoted(columns.output)} AS o FROM read_csv(?, header = true, auto_detect = false, delim = ',', "
        f"quote = '\"', escape = '\"', columns = {{{types}}}, store_rejects = true, null_padding = true)"
    )


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _json_source(columns: _Columns) -> str:
    fields = [
        f"j ->> {_literal('$.' + chr(34) + name + chr(34))}" for name in (columns.time, columns.input, columns.output)
    ]
    return (
        f"SELECT record, {fields[0]} AS t, {fields[1]} AS i, {fields[2]} AS o FROM (SELECT row_number() OVER () AS "
        "record, line, TRY_CAST(line AS JSON) AS j FROM read_csv(?, header = false, auto_detect = false, "
        "delim = '\x01', quote = '', escape = '', columns = {'line': 'VARCHAR'}, max_line_size = 16000000)) "
        "WHERE trim(line) <> ''"
    )


_PARSED = """
CREATE TEMP TABLE parsed AS
WITH cast_rows AS (
  SELECT record, t, i, o, TRY_CAST(t AS DOUBLE) AS number,
    CASE WHEN regexp_matches(t, '\\d:\\d\\d.*([zZ]|[+-]\\d\\d(:?\\d\\d)?| ?UTC)$')
         THEN epoch_ns(TRY_CAST(t AS TIMESTAMPTZ)) ELSE epoch_ns(TRY_CAST(t AS TIMESTAMP_NS)) END AS ns,
    TRY_CAST(i AS DOUBLE) AS x, TRY_CAST(o AS DOUBLE) AS y
  FROM ({source}))
SELECT record, number, ns, x, y, good, CASE WHEN good THEN NULL ELSE [t, i, o] END AS raw
FROM (SELECT *, COALESCE((ns IS NOT NULL OR isfinite(number)) AND x BETWEEN 1 AND 1e9 AND x = floor(x)
                         AND y BETWEEN 0 AND 1e9 AND y = floor(y), false) AS good FROM cast_rows)
"""


def _load(
    connection: duckdb.DuckDBPyConnection, source: str, path: Path, columns: _Columns
) -> tuple[Workload | None, list[tuple[int, str]], list[str]]:
    connection.execute(_PARSED.format(source=source), [str(path)])
    bad = [
        (int(record), _reason(*raw))
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
    data = connection.execute(
        f"SELECT {'ns' if is_date else 'number'} AS at, x::BIGINT AS x, y::BIGINT AS y FROM parsed "
        f"WHERE good AND (ns IS NOT NULL) = {is_date} ORDER BY record"
    ).fetchnumpy()
    at, x, y = np.asarray(data["at"]), np.asarray(data["x"]), np.asarray(data["y"])
    notes = []
    if np.any(np.diff(at) < 0):
        notes.append("rows were not in order of arrival; they are sorted")
        order = np.argsort(at, kind="stable")
        at, x, y = at[order], x[order], y[order]
    unit_s = 1 / NANOSECONDS_PER_SECOND if is_date else columns.time_unit_s or _magnitude_unit_s(float(at[0]))
    arrival_s = (at - at[0]).astype(np.float64) * unit_s
    if arrival_s[-1] <= 0:
        raise InputError(
            f"the log {path} holds {at.size} request(s) at one instant, which is no rate; "
            "give a log with at least two arrivals"
        )
    workload = Workload(
        name=path.name,
        arrival_s=arrival_s,
        input_tokens=x.astype(np.int64),
        output_tokens=y.astype(np.int64),
        span_s=float(arrival_s[-1]),
        starts_at=_starts_at(at[0], unit_s, is_date),
        source=str(path),
    )
    return workload, bad, notes


def _reason(time: str | None, prompt: str | None, output: str | None) -> str:
    for name, value, least in (("input tokens", prompt, 1), ("output tokens", output, 0)):
        if value is None or not value.strip():
            return f"the {name} are missing"
        try:
            number = float(value)
        except ValueError:
            return f"the {name} are no number: {value[:40]!r}"
        if not (least <= number <= 1e9 and number == int(number)):
            return f"the {name} must be a whole number from {least} on, got {value[:40]}"
    return "the time is missing" if time is None or not time.strip() else f"the time cannot be read: {time[:40]!r}"


def _magnitude_unit_s(first: float) -> float:
    return next((unit_s for least, unit_s in _EPOCH_UNITS_S if first >= least), 1.0)


def _starts_at(first: np.int64 | np.float64, unit_s: float, is_date: bool) -> str | None:
    """ISO 8601 of the first arrival; `None` where the log's zero is no calendar time (before 2001 as Unix time)."""
    if is_date:
        return str(np.datetime64(int(first), "ns"))
    seconds = float(first) * unit_s
    return datetime.fromtimestamp(seconds, UTC).isoformat() if 1e9 <= seconds < 1e11 else None


def _rejected_lines(connection: duckdb.DuckDBPyConnection) -> dict[int, str]:
    rows = connection.execute("SELECT line, error_message FROM reject_errors ORDER BY line").fetchall()
    return {int(line): str(message).split(". ")[0].strip() for line, message in rows}


def _csv_bad_rows(path: Path, bad_records: list[tuple[int, str]], rejected: dict[int, str]) -> list[BadRow]:
    """Bad rows by physical line: the reader numbers records, which skip the header, blank and rejected lines."""
    found = [BadRow(line=line, reason=reason) for line, reason in rejected.items()]
    if bad_records:
        reasons = dict(bad_records)
        with open_text(path) as text:
            for record, line in enumerate(_record_lines(text, rejected), start=1):
                if record in reasons:
                    found.append(BadRow(line=line, reason=reasons[record]))
    return sorted(found, key=lambda row: row.line)


def _record_lines(text: io.TextIOWrapper, rejected: dict[int, str]) -> Iterator[int]:
    """The first line of every record that the reader kept."""
    reader = csv.reader(text)
    is_header, before = True, 0
    for row in reader:
        line, before = before + 1, reader.line_num
        if row and not is_header and line not in rejected:
            yield line
        is_header = is_header and not row
