"""Measurements of other people's servers: tables of level means, and logs of single requests."""

import csv
import json
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from planner.errors import InputError, reason_of
from planner.profile import EngineLimits, Scheduler
from planner.steptime.fit import LoadPoint
from planner.steptime.request_fit import RequestLog
from planner.traces.files import open_text
from planner.traces.request_log import BadRow
from planner.units import MILLISECONDS_PER_SECOND

DEPLOYMENT_COLUMNS = (
    *("backend", "backend_version", "model_path", "system", "precision", "gemm_quant_mode", "moe_quant_mode"),
    *("tp_size", "pp_size", "attention_dp_size", "moe_tp_size", "moe_ep_size"),
)
"""What must be equal for two rows to be measurements of one deployment."""

LEVEL_COLUMNS = ("isl", "osl", "silicon_ttft_ms", "silicon_tpot_ms")
REQUEST_FIELDS = ("input_toks", "output_toks", "queued_ts", "first_token_ts", "last_token_ts")

_CONCURRENCY = re.compile(r"silicon_concurrency=(\d+)")
_NAMED_TP = re.compile(r"_tp(\d+)_")
_DATE = re.compile(r"measured=(\d{4}-\d{2}-\d{2})")

DEFAULT_STEP_TOKENS = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Level means of one model on one machine with one engine; `key` holds the deployment columns.

    `last_measured` is the latest ISO date among its rows, `None` where no row has one. `named_tp` is the tensor
    parallelism in the names of its rows (`_tp8_` in `id`), `None` where no row names one or they differ.
    """

    key: tuple[str, ...]
    points: tuple[LoadPoint, ...]
    last_measured: str | None
    named_tp: int | None = None

    @property
    def name(self) -> str:
        return " ".join(part for part in self.key if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelTable:
    """All deployments of a table, and the rows that were left out with the reason."""

    deployments: tuple[Deployment, ...]
    rows: int
    left_out: tuple[BadRow, ...]


def shapes_of(points: Sequence[LoadPoint]) -> list[LoadPoint]:
    """One point for each prompt:output shape; lengths within a fifth are one shape, as random lengths scatter."""
    shapes: list[LoadPoint] = []
    for p in points:
        if not any(_near(p.input_tokens, q.input_tokens) and _near(p.output_tokens, q.output_tokens) for q in shapes):
            shapes.append(p)
    return shapes


def _near(a: float, b: float) -> bool:
    return max(a, b) <= 1.2 * min(a, b)


def is_request_log(path: Path) -> bool:
    """Whether the file looks like a log of single requests rather than a table of level means."""
    return path.suffix in (".jsonl", ".json")


def read_level_table(path: Path) -> LevelTable:
    """Read a CSV of mean TTFT and TPOT [ms] by deployment, prompt, output and concurrency.

    Concurrency stands in `silicon_data_source` as `silicon_concurrency=N`, else in `batch_size`. Rows whose `mode` is
    not `agg` and exact duplicates are dropped; what repeats a point is merged by the median. Raises `InputError` for a
    file that cannot be read or lacks a column.
    """
    with open_text(path) as text:
        reader = csv.DictReader(text)
        missing = [name for name in LEVEL_COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise InputError(f"{path}:1: no column {', '.join(missing)}; a table of level means needs them all")
        rows = list(reader)
    return level_table(rows)


def level_table(rows: Sequence[Mapping[str, str]]) -> LevelTable:
    """The deployments in the rows of such a table; row 0 stands in line 2 of the file."""
    seen: set[tuple[object, ...]] = set()
    means: dict[tuple[str, ...], dict[tuple[float, float, float], list[tuple[float, float]]]] = {}
    dates: dict[tuple[str, ...], str] = {}
    named: dict[tuple[str, ...], set[int]] = {}
    left_out = []
    for line, row in enumerate(rows, start=2):
        if row.get("mode") not in ("agg", "", None):
            continue
        try:
            place, values = _level(row)
        except ValueError as error:
            left_out.append(BadRow(line=line, reason=str(error)))
            continue
        key = tuple((row.get(name) or "").strip() for name in DEPLOYMENT_COLUMNS)
        measured = _DATE.search(row.get("silicon_data_source") or "")
        if measured:
            dates[key] = max(dates.get(key, ""), measured.group(1))
        if stated := _NAMED_TP.search(row.get("id") or ""):
            named.setdefault(key, set()).add(int(stated.group(1)))
        if (key, place, values) not in seen:
            seen.add((key, place, values))
            means.setdefault(key, {}).setdefault(place, []).append(values)
    deployments = [
        Deployment(
            key=key,
            points=_merged(means[key]),
            last_measured=dates.get(key),
            named_tp=next(iter(named[key])) if len(named.get(key, ())) == 1 else None,
        )
        for key in sorted(means)
    ]
    return LevelTable(deployments=tuple(deployments), rows=len(rows), left_out=tuple(left_out))


def _level(row: Mapping[str, str]) -> tuple[tuple[float, float, float], tuple[float, float]]:
    """(prompt, output, concurrency) and (TTFT, TPOT) in seconds."""
    found = _CONCURRENCY.search(row.get("silicon_data_source") or "")
    concurrency = found.group(1) if found else row.get("batch_size")
    numbers = []
    for name, text in (
        ("concurrency", concurrency),
        *((column, row.get(column)) for column in LEVEL_COLUMNS),
    ):
        try:
            number = float(text or "nan")
        except ValueError:
            number = float("nan")
        if not 0 < number < float("inf"):
            raise ValueError(f"{name} is no number above 0: {text!r}")
        numbers.append(number)
    n, i, o, ttft_ms, tpot_ms = numbers
    return (i, o, n), (ttft_ms / MILLISECONDS_PER_SECOND, tpot_ms / MILLISECONDS_PER_SECOND)


def _merged(means: Mapping[tuple[float, float, float], list[tuple[float, float]]]) -> tuple[LoadPoint, ...]:
    return tuple(
        LoadPoint(
            concurrency=n,
            input_tokens=i,
            output_tokens=o,
            ttft_s=statistics.median(ttft for ttft, _ in values),
            tpot_s=statistics.median(tpot for _, tpot in values),
        )
        for (i, o, n), values in sorted(means.items())
    )


def _misread(error: ValueError | TypeError) -> str:
    return "no JSON object with numbers in its fields" if isinstance(error, TypeError) else str(error)


def read_request_log(path: Path) -> RequestLog:
    """Read JSON lines of single requests: tokens, and when each was queued and got its first and last token [s].

    The engine's limits come from `meta.json` beside the file (`engine_kwargs` as vLLM names them). Without it the most
    requests that ever ran at once are taken as the limit, which `notes` says. Raises `InputError` with the line for
    anything that cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the measurements {path}: {reason_of(error)}; give a CSV or JSONL file") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            rows.append([float(record[name]) for name in REQUEST_FIELDS] + [float(record.get("scheduled_ts", "nan"))])
        except (ValueError, TypeError, KeyError) as error:
            reason = f"no field {error}" if isinstance(error, KeyError) else _misread(error)
            raise InputError(f"{path}:{number}: {reason}; each line needs {', '.join(REQUEST_FIELDS)}") from None
    if not rows:
        raise InputError(f"the measurements {path} are empty; give one request a line")
    table = np.array(sorted(rows, key=lambda row: row[2]))
    prompt, output, queued, first, last, scheduled = table.T
    if np.any(first <= queued) or np.any(last < first) or np.any(prompt < 1) or np.any(output < 1):
        raise InputError(f"{path}: a request has its first token before it was queued, or no tokens; check the clocks")
    meta, notes = _engine_arguments(path)
    running = meta.get("max_num_seqs")
    if not running:
        began = np.where(np.isnan(scheduled), first, scheduled)
        running = _most_at_once(began, last)
        notes.append(f"no limit of running sequences given; {running} ran at once at most and are taken as the limit")
    if not meta.get("max_num_batched_tokens"):
        notes.append(f"no step token budget given; {DEFAULT_STEP_TOKENS} are assumed")
    limits = EngineLimits(
        scheduler=Scheduler.PAGED,
        max_sequences=int(running),
        step_token_budget=int(meta.get("max_num_batched_tokens") or DEFAULT_STEP_TOKENS),
        context_tokens=1 << 30,
        kv_capacity_tokens=1 << 40,
    )
    return RequestLog(
        name=path.name,
        arrival_s=queued - queued[0],
        input_tokens=prompt.astype(np.int64),
        output_tokens=output.astype(np.int64),
        ttft_s=first - queued,
        e2e_s=last - queued,
        limits=limits,
        replicas=int(meta.get("data_parallel_size") or 1),
        notes=tuple(notes),
    )


def _engine_arguments(path: Path) -> tuple[dict[str, Any], list[str]]:
    beside = path.with_name("meta.json")
    if not beside.is_file():
        return {}, []
    try:
        return dict(json.loads(beside.read_text(encoding="utf-8")).get("engine_kwargs") or {}), []
    except (ValueError, AttributeError) as error:
        return {}, [f"{beside} could not be read ({error}) and is ignored"]


def _most_at_once(began: np.ndarray[Any, np.dtype[np.float64]], ended: np.ndarray[Any, np.dtype[np.float64]]) -> int:
    """The most intervals that overlap: three requests of which two overlap give 2."""
    starts, ends = np.sort(began), np.sort(ended)
    return int((np.arange(1, starts.size + 1) - np.searchsorted(ends, starts, side="right")).max())
