"""Logs of texts and not of counts: conversations, or a prompt and a completion a row. Tokens are counted here.

Conversations are lists of turns, as ShareGPT writes them (`conversations` of `from` and `value`) or as chat APIs do
(`messages` of `role` and `content`). Every reply is a request whose prompt is all that stands before it. What a chat
template adds around each message is not counted: it differs by model, and is a handful of tokens a message.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from planner.errors import InputError
from planner.traces.files import open_text
from planner.traces.formats import TIME_NAMES
from planner.traces.request_log import BadRow, LogReport, magnitude_unit_s
from planner.traces.time_zones import named_zone
from planner.traces.token_count import count_tokens
from planner.workload import Workload

PROMPT_NAMES = ("prompt", "question", "instruction", "query", "input", "request")
COMPLETION_NAMES = ("completion", "response", "answer", "output", "reply")
_TURN_LISTS = ("conversations", "conversation", "messages")
_REPLIES = ("gpt", "assistant", "chatgpt", "bard", "model", "bing")


@dataclass(frozen=True, slots=True)
class _Request:
    """`at` is the time as written, `None` where the log has none."""

    at: object
    input_tokens: int
    output_tokens: int


class _Unusable(Exception):
    """Why a row cannot be counted."""


def read_text_log(
    path: Path,
    *,
    encoding: str,
    columns: Mapping[str, str],
    time_zone: str | None,
    requests_per_s: float | None,
    seed: int,
) -> tuple[Workload, LogReport] | None:
    """Count a log of texts; `None` for a log that is none.

    `columns` may name the columns `arrival`, `prompt` and `completion`. A log without times needs a rate: its requests
    are then put in random order at Poisson arrivals. Dates without an offset are by the clock of `time_zone`, else UTC.
    Raises `InputError`.
    """
    rows = _rows(path)
    first = next(rows, None)
    if first is None or isinstance(first[1], str):
        return None
    kind = _kind(first[1], columns)
    if kind is None:
        return None
    found: list[_Request] = []
    bad: list[BadRow] = []
    for line, row in _with(first, rows):
        try:
            if isinstance(row, str):
                raise _Unusable(row)
            found += _requests(row, kind, columns, encoding)
        except _Unusable as reason:
            bad.append(BadRow(line=line, reason=str(reason)))
    if not found:
        detail = f" (line {bad[0].line}: {bad[0].reason})" if bad else ""
        raise InputError(f"the text log {path} holds no request{detail}; every reply needs a text before it")
    notes = [f"tokens were counted with {encoding}; a chat template's own tokens are not in them"]
    arrivals, starts_at = _arrivals(path, found, time_zone, requests_per_s, seed, notes)
    order = np.argsort(arrivals, kind="stable")
    span_s = float(arrivals.max() - arrivals.min())
    if span_s <= 0:
        raise InputError(f"the text log {path} holds {len(found)} request(s) at one instant; give a rate with --rate")
    workload = Workload(
        name=path.name,
        arrival_s=(arrivals - arrivals.min())[order],
        input_tokens=np.array([max(r.input_tokens, 1) for r in found], dtype=np.int64)[order],
        output_tokens=np.array([r.output_tokens for r in found], dtype=np.int64)[order],
        span_s=span_s,
        starts_at=starts_at,
        source=str(path),
    )
    return workload, LogReport(format=kind, rows=workload.requests, bad_rows=tuple(bad), notes=tuple(notes))


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """(line or number of the item, record or why it is none) of a CSV, of JSON lines, or of one JSON array."""
    if ".parquet" in path.suffixes or ".zst" in path.suffixes or not path.is_file():
        return
    with open_text(path) as text:
        head = text.read(4096).lstrip()[:1]
    with open_text(path) as text:
        if head == "[":
            try:
                items = orjson.loads(text.read())
            except orjson.JSONDecodeError as error:
                raise InputError(f"{path}: the JSON array cannot be read: {error}; repair the file") from None
            for number, item in enumerate(items, start=1):
                yield number, item if isinstance(item, dict) else "the item is no JSON object"
        elif head == "{":
            for number, line in enumerate(text, start=1):
                if line.strip():
                    yield number, _object(line)
        else:
            yield from _csv_rows(text)


def _csv_rows(text: Iterable[str]) -> Iterator[tuple[int, dict[str, Any] | str]]:
    reader = csv.reader(text)
    header = [name.strip() for name in next(reader, [])]
    line = reader.line_num
    for cells in reader:
        if cells:
            short = f"{len(cells)} cells where the header has {len(header)}"
            yield line + 1, dict(zip(header, cells, strict=True)) if len(cells) == len(header) else short
        line = reader.line_num


def _object(line: str) -> dict[str, Any] | str:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return f"not a JSON object: {error}"
    return found if isinstance(found, dict) else "not a JSON object"


def _with(
    first: tuple[int, dict[str, Any] | str], rest: Iterator[tuple[int, dict[str, Any] | str]]
) -> Iterator[tuple[int, dict[str, Any] | str]]:
    yield first
    yield from rest


def _kind(row: dict[str, Any], columns: Mapping[str, str]) -> str | None:
    """What kind of text log a record belongs to; `None` for one of counts."""
    if any(isinstance(row.get(name), list) for name in _TURN_LISTS):
        return "conversations"
    prompt, completion = _key(row, "prompt", columns), _key(row, "completion", columns)
    is_named = "prompt" in columns or "completion" in columns
    if prompt and completion and (is_named or not _is_count(row[prompt]) or not _is_count(row[completion])):
        return "prompt and completion"
    return None


def _is_count(value: object) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and value.strip().isdecimal())


def _key(row: dict[str, Any], role: str, columns: Mapping[str, str]) -> str | None:
    wanted = PROMPT_NAMES if role == "prompt" else COMPLETION_NAMES if role == "completion" else TIME_NAMES
    names = (columns[role],) if role in columns else wanted
    by_key = {name.lower().replace(" ", "_"): name for name in row}
    if role in columns:
        return columns[role] if columns[role] in row else None
    return next((by_key[name] for name in names if name in by_key), None)


def _requests(row: dict[str, Any], kind: str, columns: Mapping[str, str], encoding: str) -> list[_Request]:
    time = _key(row, "arrival", columns)
    at = row[time] if time else None
    if kind == "prompt and completion":
        texts = []
        for role in ("prompt", "completion"):
            key = _key(row, role, columns)
            if key is None or not isinstance(row[key], str):
                raise _Unusable(f"the {role} is missing or no text")
            texts.append(row[key])
        if not texts[0]:
            raise _Unusable("the prompt is empty")
        return [_Request(at, count_tokens(texts[0], encoding), count_tokens(texts[1], encoding))]
    turns = next((row[name] for name in _TURN_LISTS if isinstance(row.get(name), list)), None)
    if turns is None:
        raise _Unusable("there is no list of turns")
    found, before = [], 0
    for turn in turns:
        who, text = _turn(turn)
        tokens = count_tokens(text, encoding)
        if who in _REPLIES and before:
            own = next((turn[name] for name in TIME_NAMES if name in turn), at)
            found.append(_Request(own, before, tokens))
        before += tokens
    if not found:
        raise _Unusable("no turn answers another one")
    return found


def _turn(turn: object) -> tuple[str, str]:
    """Who speaks and what, in either spelling; parts that are no text (images) count as nothing."""
    if not isinstance(turn, dict):
        raise _Unusable("a turn is no JSON object")
    who = turn.get("role", turn.get("from"))
    text = turn.get("content", turn.get("value"))
    if isinstance(text, list):
        text = "".join(str(part.get("text", "")) for part in text if isinstance(part, dict))
    if not isinstance(who, str):
        raise _Unusable("a turn has no role")
    return who.lower(), text if isinstance(text, str) else ""


def _arrivals(
    path: Path,
    found: list[_Request],
    time_zone: str | None,
    requests_per_s: float | None,
    seed: int,
    notes: list[str],
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], str | None]:
    """Seconds from any zero, and the first of them as a date where the log has dates."""
    if all(request.at is not None for request in found):
        zone = named_zone(time_zone) or UTC
        seconds = np.array([_seconds(request.at, path, zone) for request in found])
        first = float(seconds.min())
        starts_at = datetime.fromtimestamp(first, zone).isoformat() if 1e9 <= first < 1e11 else None
        if np.unique(seconds).size < seconds.size:
            notes.append("turns without a time of their own have that of their conversation")
        return seconds, starts_at
    if requests_per_s is None:
        raise InputError(
            f"the text log {path} has no times: say how many requests come per second with --rate, for example --rate 2"
        )
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1 / requests_per_s, len(found)))
    notes.append(f"the log has no times: its requests come in random order, {requests_per_s:g} a second on average")
    return rng.permutation(arrivals), None


def _seconds(at: object, path: Path, zone: tzinfo) -> float:
    text = str(at).strip()
    try:
        number = float(text)
        return number * magnitude_unit_s(number)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{path}: the time {text[:40]!r} cannot be read; name its column with --column") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
