"""What was really used and paid: exports of API providers, FOCUS files, plain CSV, a vLLM server's metrics.

Every reader takes the bytes of a file and its name, so that the command line and an upload are read alike. Nothing is
dropped in silence: rows that cannot be read are listed by line, and rows that are no tokens are counted in a note.
"""

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation

from planner.errors import InputError
from planner.units import DAYS_PER_MONTH, HOURS_PER_DAY
from pricing.types import TokenKind

MAX_BYTES = 64 * 1024 * 1024
"""A larger file is refused: a year of daily rows per key and model stays far below."""

_WHOLE = ""  # the kind of an amount that is not split by kind


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """Tokens of one kind and what they cost; `usd` is `None` where the file holds no amounts, `tokens` where no counts.

    `kind` is a `TokenKind`, or empty for an amount that covers several kinds. `day` is an ISO date or a month.
    """

    day: str
    model: str
    kind: str
    tokens: Decimal | None
    usd: Decimal | None
    requests: Decimal | None = None

    @property
    def month(self) -> str:
        return self.day[:7]


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A row that could not be read; `line` counts from 1 and includes the header."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """One file as read: the format that was recognised, its lines, and what could not be used."""

    name: str
    format: str
    lines: tuple[BillLine, ...]
    bad_lines: tuple[BadLine, ...]
    notes: tuple[str, ...]


_Row = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    name: str
    columns: frozenset[str]
    read: Callable[[_Row], Iterable[BillLine]]


def read_bill(name: str, content: bytes) -> Bill:
    """Recognise a file by its columns and read it. Raises `InputError` for one that is none of the known kinds."""
    if len(content) > MAX_BYTES:
        raise InputError(
            f"{name} has {len(content):,} bytes, more than the {MAX_BYTES:,} that a bill may have; split it"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 text (byte {error.start}); export it as CSV once more") from None
    if "\0" in text:
        raise InputError(f"{name} holds bytes that no text has; export it as CSV once more")
    if re.search(r"^vllm:", text, re.MULTILINE):
        raise InputError(f"{name} holds a server's counters, which carry no month; give --hours and --month with it")
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=separator)
    columns = {column.strip() for column in reader.fieldnames or () if column}
    found = next((each for each in _FORMATS if each.columns <= columns), None)
    if found is None:
        known = "; ".join(f"{each.name} ({', '.join(sorted(each.columns))})" for each in _FORMATS)
        raise InputError(
            f"{name} has the columns {', '.join(sorted(columns)[:12]) or 'of no table'}, which is none of: {known}"
        )
    lines: list[BillLine] = []
    bad: list[BadLine] = []
    other = Decimal(0)
    for row in reader:
        try:
            cells = {str(k).strip(): (v or "").strip() for k, v in row.items() if isinstance(v, str)}
            in_row = list(found.read(cells))  # the whole row or nothing of it
        except ValueError as error:
            bad.append(BadLine(line=reader.line_num, reason=str(error)))
            continue
        other += sum((line.usd or Decimal(0) for line in in_row if line.kind == _NOT_TOKENS), Decimal(0))
        lines += [line for line in in_row if line.kind != _NOT_TOKENS]
    notes = (f"{name}: amounts of {other:,.2f} USD are for no tokens and stay out",) if other else ()
    return Bill(name=name, format=found.name, lines=tuple(lines), bad_lines=tuple(bad), notes=notes)


_NOT_TOKENS = "not tokens"


def read_server_metrics(
    contents: Sequence[tuple[str, bytes]], *, month: str, hours: float, model: str
) -> tuple[Bill, float]:
    """A vLLM server's counters (one file, or the difference of two) over `hours`, as tokens of a whole month.

    Counters: `vllm:prompt_tokens_total`, `vllm:generation_tokens_total`, `vllm:request_success_total`, and of the
    prefix cache `vllm:prefix_cache_hits_total`, which counts tokens. The month has 730 hours, so 73 hours count ten
    times.
    Returns the bill and the factor. Raises `InputError` for missing counters and for counters that went back.
    """
    if not (math.isfinite(hours) and hours > 0):
        raise InputError(f"--hours must be above 0, got {hours}: the time over which the counters grew")
    if not 1 <= len(contents) <= 2:
        raise InputError(
            f"give one file of server metrics, or one of the start and one of the end, not {len(contents)}"
        )
    tables = [_counters(name, content) for name, content in contents]
    names = ", ".join(name for name, _ in contents)
    grown: dict[str, Decimal] = {}
    for counter in ("prompt_tokens", "generation_tokens", "request_success", "prefix_cache_hits"):
        last, first = tables[-1].get(counter), tables[0].get(counter, Decimal(0)) if len(tables) == 2 else Decimal(0)
        if last is None:
            if counter in ("prompt_tokens", "generation_tokens"):
                raise InputError(f"{contents[-1][0]} has no vllm:{counter}_total; save the server's /metrics page")
            continue
        if last < first:
            raise InputError(f"vllm:{counter}_total falls from {first} to {last} in {names}; the server was restarted")
        grown[counter] = last - first
    factor = DAYS_PER_MONTH * HOURS_PER_DAY / hours
    scale = Decimal(repr(factor))
    hits = min(grown.get("prefix_cache_hits", Decimal(0)), grown["prompt_tokens"])
    requests = grown.get("request_success")
    kinds = (
        (TokenKind.INPUT, grown["prompt_tokens"] - hits),
        (TokenKind.CACHED_INPUT, hits),
        (TokenKind.OUTPUT, grown["generation_tokens"]),
    )
    lines = tuple(
        BillLine(
            day=month,
            model=model,
            kind=kind,
            tokens=tokens * scale,
            usd=None,
            requests=requests * scale if requests is not None and kind is TokenKind.INPUT else None,
        )
        for kind, tokens in kinds
    )
    notes = (f"{names}: {hours:g} hours stand for a month of 730, times {factor:.4g}",)
    return Bill(name=names, format="vLLM server metrics", lines=lines, bad_lines=(), notes=notes), factor


_SAMPLE = re.compile(r"^vllm:(\w+?)(?:_total)?(?:\{[^}]*\})?\s+(\S+)")


def _counters(name: str, content: bytes) -> dict[str, Decimal]:
    """Each counter summed over its labels."""
    found: dict[str, Decimal] = {}
    for number, line in enumerate(content.decode("utf-8", errors="replace").splitlines(), start=1):
        if sample := _SAMPLE.match(line):
            try:
                value = Decimal(sample[2])
            except InvalidOperation:
                raise InputError(f"{name}, line {number}: {sample[2]!r} is no number") from None
            if value.is_finite():
                found[sample[1]] = found.get(sample[1], Decimal(0)) + value
    return found


# --- one function per kind of file -----------------------------------------------------------------------------------


def _openai_usage(row: _Row) -> Iterator[BillLine]:
    """`input_tokens` contains the cached ones."""
    day, model = _day(row["start_time_iso"]), _model(row["model"])
    total, cached, output = (_count(row, name) for name in ("input_tokens", "input_cached_tokens", "output_tokens"))
    if cached > total:
        raise ValueError(f"input_cached_tokens ({cached}) cannot exceed input_tokens ({total})")
    batch = " (batch)" if row.get("batch", "").lower() == "true" else ""
    requests = _count(row, "num_model_requests")
    yield from _tokens(day, model + batch, {TokenKind.INPUT: total - cached, TokenKind.CACHED_INPUT: cached}, requests)
    yield from _tokens(day, model + batch, {TokenKind.OUTPUT: output})


def _openai_cost(row: _Row) -> Iterator[BillLine]:
    """`line_item` is "model, kind" where the export is grouped by it."""
    if not row["amount_value"]:
        return
    _dollars_only(row["amount_currency"])
    model, _, kind = row.get("line_item", "").partition(",")
    yield BillLine(
        day=_day(row["start_time_iso"]),
        model=_model(model),
        kind=_kind(kind),
        tokens=None,
        usd=_number(row["amount_value"], "amount_value"),
    )


def _anthropic_usage(row: _Row) -> Iterator[BillLine]:
    columns = {
        TokenKind.INPUT: "usage_input_tokens_no_cache",
        TokenKind.CACHED_INPUT: "usage_input_tokens_cache_read",
        TokenKind.CACHE_WRITE: "usage_input_tokens_cache_write_5m",
        TokenKind.CACHE_WRITE_1H: "usage_input_tokens_cache_write_1h",
        TokenKind.OUTPUT: "usage_output_tokens",
    }
    batch = " (batch)" if row.get("usage_type") == "batch" else ""
    counts = {kind: _count(row, column) for kind, column in columns.items()}
    yield from _tokens(_day(row["usage_date_utc"]), _model(row["model_version"]) + batch, counts)


def _anthropic_cost(row: _Row) -> Iterator[BillLine]:
    yield BillLine(
        day=_day(row["usage_date_utc"]),
        model=_model(row["model"]),
        kind=_kind(row.get("token_type", "")),
        tokens=None,
        usd=_number(row["cost_usd"], "cost_usd"),
    )


def _focus(row: _Row) -> Iterator[BillLine]:
    """Rows that consume tokens; everything else is set aside. BilledCost, because a bill is compared with cash."""
    _dollars_only(row["BillingCurrency"])
    usd, day = _number(row["BilledCost"], "BilledCost"), _day(row["ChargePeriodStart"])
    if "token" not in row.get("ConsumedUnit", "").lower():
        yield BillLine(day=day, model="", kind=_NOT_TOKENS, tokens=None, usd=usd)
        return
    named = row.get("x_Model") or row.get("SkuId") or row.get("ServiceName", "")
    said = row.get("SkuMeter") or row.get("ChargeDescription", "")
    per = re.match(r"([\d,]+)\s", row["ConsumedUnit"])
    tokens = _number(row["ConsumedQuantity"], "ConsumedQuantity") * (Decimal(per[1].replace(",", "")) if per else 1)
    yield BillLine(day=day, model=_model(named), kind=_kind(said) or TokenKind.INPUT, tokens=tokens, usd=usd)


def _plain_kinds(row: _Row) -> Iterator[BillLine]:
    """One row per kind of token."""
    _dollars_only(row.get("currency", ""))
    yield BillLine(
        day=_day(row["date"]),
        model=_model(row["model"]),
        kind=_kind(row["kind"], strict=True),
        tokens=_number(row["tokens"], "tokens") if row["tokens"] else None,
        usd=_number(row["cost_usd"], "cost_usd") if row.get("cost_usd") else None,
        requests=_number(row["requests"], "requests") if row.get("requests") else None,
    )


def _plain(row: _Row) -> Iterator[BillLine]:
    """One row per model; `cached_input_tokens` are not part of `input_tokens`."""
    _dollars_only(row.get("currency", ""))
    day, model = _day(row["date"]), _model(row["model"])
    counts = {
        TokenKind.INPUT: _count(row, "input_tokens"),
        TokenKind.CACHED_INPUT: _count(row, "cached_input_tokens"),
        TokenKind.OUTPUT: _count(row, "output_tokens"),
    }
    yield from _tokens(day, model, counts, _number(row["requests"], "requests") if row.get("requests") else None)
    if row.get("cost_usd"):
        yield BillLine(day=day, model=model, kind=_WHOLE, tokens=None, usd=_number(row["cost_usd"], "cost_usd"))


_FORMATS = (
    _Format(
        name="FOCUS",
        columns=frozenset({"BilledCost", "BillingCurrency", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit"}),
        read=_focus,
    ),
    _Format(
        name="OpenAI usage export",
        columns=frozenset({"start_time_iso", "model", "input_tokens", "output_tokens", "input_cached_tokens"}),
        read=_openai_usage,
    ),
    _Format(
        name="OpenAI cost export",
        columns=frozenset({"start_time_iso", "amount_value", "amount_currency"}),
        read=_openai_cost,
    ),
    _Format(
        name="Anthropic usage export",
        columns=frozenset({"usage_date_utc", "model_version", "usage_input_tokens_no_cache", "usage_output_tokens"}),
        read=_anthropic_usage,
    ),
    _Format(
        name="Anthropic cost export", columns=frozenset({"usage_date_utc", "model", "cost_usd"}), read=_anthropic_cost
    ),
    _Format(name="plain CSV by kind", columns=frozenset({"date", "model", "kind", "tokens"}), read=_plain_kinds),
    _Format(name="plain CSV", columns=frozenset({"date", "model", "input_tokens", "output_tokens"}), read=_plain),
)


# --- cells -----------------------------------------------------------------------------------------------------------


def _tokens(
    day: str, model: str, counts: Mapping[TokenKind, Decimal], requests: Decimal | None = None
) -> Iterator[BillLine]:
    for place, (kind, tokens) in enumerate(counts.items()):
        yield BillLine(
            day=day, model=model, kind=kind, tokens=tokens, usd=None, requests=requests if place == 0 else None
        )


def _day(text: str) -> str:
    """The ISO date, or the month where only that is given."""
    try:
        return date.fromisoformat(text[:10]).isoformat() if len(text) >= 10 else _month(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no date; write YYYY-MM-DD or YYYY-MM") from None


def _month(text: str) -> str:
    return date.fromisoformat(f"{text}-01").isoformat()[:7]


def _model(text: str) -> str:
    if not text.strip():
        raise ValueError("the model is missing; export grouped by model")
    return text.strip()


def _number(text: str, column: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{column} is {text[:40]!r}, not a number") from None
    if not value.is_finite():
        raise ValueError(f"{column} is {text[:40]!r}, not a finite number")
    return value


def _count(row: _Row, column: str) -> Decimal:
    value = _number(row.get(column) or "0", column)
    if value < 0:
        raise ValueError(f"{column} is {value}; a count cannot be below 0")
    return value


def _dollars_only(currency: str) -> None:
    if currency and currency.upper() != "USD":
        raise ValueError(f"the currency is {currency!r}; the plan is in USD, convert the bill first")


_KIND_WORDS = (
    (("cache write 1h", "cache_write_1h", "cache_creation.ephemeral_1h"), TokenKind.CACHE_WRITE_1H),
    (("cache write", "cache_write", "cache_creation", "cache creation"), TokenKind.CACHE_WRITE),
    (("cache", "cached"), TokenKind.CACHED_INPUT),
    (("reasoning",), TokenKind.REASONING),
    (("output", "completion", "generation"), TokenKind.OUTPUT),
    (("input", "prompt"), TokenKind.INPUT),
)


def _kind(text: str, *, strict: bool = False) -> str:
    """The token kind that a meter's name means; empty where it means none."""
    low = text.lower()
    found = next((kind for words, kind in _KIND_WORDS if any(word in low for word in words)), None)
    if found is None and strict:
        raise ValueError(f"the kind {text[:40]!r} is none of {', '.join(kind for _, kind in _KIND_WORDS)}")
    return found or _WHOLE
