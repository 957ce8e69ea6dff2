"""guidellm: `benchmarks.json` of 0.8 and of the older shape without a version, and its CSV with three header rows.

Single requests are used where the report holds all of them; its own summary where it holds a sample or, as in the CSV,
none. Its ITL is the mean gap of a request, (last - first) / (tokens - 1): that is TPOT here, and pooled gaps are
unknown. Its own TPOT includes the first token and is not used. Its request latency ends with the HTTP stream, ours
with the last token.
"""

from collections.abc import Iterator, Mapping, Sequence

from planner.imports.document import Document, Row, field, iso_date, iso_time, number, parse_json, positive, text
from planner.imports.record import Mode, Subject, ToolLevel, ToolRequest, ToolResult
from planner.imports.window import level_of_requests
from planner.profile import Statistics
from planner.units import MILLISECONDS_PER_SECOND

NAME = "guidellm"

LOW_RATE = (
    "guidellm leaves requests that are under way at the end out of its rates but not their time out of the divisor: "
    "its "
    "requests/s and tokens/s are too low (20 % with 15 s levels of 4 s requests)"
)
FROM_REQUESTS = "; the rates here are computed from its single requests over the time in which the load was held"
TTFT_BIAS = (
    "guidellm's client adds to TTFT as streams grow: where the truth is 20 ms it reports about 22 at 16, 28 at 64 and "
    "40 ms at 256 streams (0.8.1 on 2 cores); the figures are kept as reported"
)
REPEATED_GAPS = (
    "guidellm's Poisson arrivals repeat every gap once per worker (dispersion 7 instead of 1 in 0.8.1): queues and "
    "tails "
    "are those of a burstier load than the rate suggests"
)
NO_USAGE = (
    "guidellm writes the requested output length where the server reports none: fewer chunks than tokens were "
    "streamed, "
    "so either the server bundles tokens or the lengths are requested and not produced"
)

CSV_NOTE = "a CSV of guidellm has no single requests and no p95; its JSON says more"

_TIMES = (
    ("request_start", "request_start_time", "start_time"),
    ("request_end", "request_end_time", "end_time"),
    ("first_token_iteration", "first_iteration", "first_token_time"),
    ("last_token_iteration", "last_iteration", "last_token_time"),
)
"""Start, end, first and last token of a request, under the names of the versions, newest first."""

_OPEN = ("constant", "async", "poisson")


def detects(document: Document) -> bool:
    """JSON with `benchmarks`, each with a strategy or scheduler; or a CSV whose headings stand in three rows."""
    entry = field(document.first, "benchmarks", 0)
    if isinstance(entry, dict):
        return isinstance(entry.get("metrics"), dict) and ("config" in entry or "args" in entry or "scheduler" in entry)
    return len(document.grid) > 3 and "Run Info" in document.grid[0] and "Strategy" in document.grid[1]


def read(document: Document) -> list[ToolResult]:
    if document.grid:
        return [_from_csv(document)]
    report = document.first
    benchmarks = [entry for entry in field(report, "benchmarks") or [] if isinstance(entry, dict)]
    levels, biases = [], {TTFT_BIAS: None}
    for entry in benchmarks:
        level, found = _level(entry)
        biases.update(dict.fromkeys(found))
        if level is not None:
            levels.append(level)
    started = next((s for entry in benchmarks if (s := number(entry, "start_time")) is not None), None)
    return [
        ToolResult(
            tool=NAME,
            tool_version=text(report, "metadata", "guidellm_version"),
            file=document.name,
            sha256=document.sha256,
            measured_at=iso_time(started),
            subject=Subject(model=_model(report, benchmarks)),
            levels=tuple(levels),
            biases=tuple(biases),
            run=next((run for entry in benchmarks if (run := text(entry, "config", "run_id"))), None),
        )
    ]


def merged(results: Sequence[ToolResult]) -> list[ToolResult]:
    """Without the CSV of a run whose JSON is there too."""
    whole = {r.run for r in results if not _is_csv(r)}
    return [r for r in results if not (_is_csv(r) and r.run in whole and r.run is not None)]


def _is_csv(result: ToolResult) -> bool:
    return CSV_NOTE in result.notes


def _model(report: Row, benchmarks: Sequence[Row]) -> str | None:
    places: tuple[tuple[object, tuple[str, ...]], ...] = (
        (report, ("config", "spec", "backend", "model")),
        (report, ("args", "model")),
        *((entry, path) for entry in benchmarks[:1] for path in (
            ("config", "backend", "model"),
            ("config", "backend", "default_model"),
            ("benchmarker", "backend", "model"),
            ("worker", "backend_model"),
        )),
    )  # fmt: skip
    return next((found for value, path in places if (found := text(value, *path))), None)


def _strategy(entry: Row) -> tuple[str, float | None, float | None]:
    """(type, streams or most in flight, rate) of a benchmark, 0.8 or older."""
    for path in (("config", "strategy"), ("scheduler", "strategy"), ("args", "strategy")):
        strategy = field(entry, *path)
        if isinstance(strategy, dict):
            kind = (text(strategy, "type_") or text(strategy, "kind") or "").lower()
            streams = positive(strategy, "streams") or positive(strategy, "max_concurrency")
            return kind, streams, positive(strategy, "rate") or positive(strategy, "initial_rate")
    return "", None, None


def _level(entry: Row) -> tuple[ToolLevel | None, list[str]]:
    kind, streams, rate = _strategy(entry)
    mode: Mode = "open" if kind in _OPEN else "closed"
    requests = list(_requests(entry))
    made = number(entry, "scheduler_metrics", "requests_made", "successful")
    kept = sum(1 for r in requests if r.outcome == "ok")
    target = rate if mode == "open" else (1.0 if kind == "synchronous" else None if kind == "throughput" else streams)
    biases = [REPEATED_GAPS] if kind == "poisson" else []
    if requests and (made is None or kept >= made):
        level = level_of_requests(requests, mode=mode, target=target, is_poisson=kind == "poisson")
        biases.append(LOW_RATE + FROM_REQUESTS)
        if _has_fewer_chunks(entry):
            biases.append(NO_USAGE)
    else:
        level = _summary_level(entry, mode, target, is_poisson=kind == "poisson")
        biases.append(LOW_RATE)
    return level, biases


def _requests(entry: Row) -> Iterator[ToolRequest]:
    stopped = positive(entry, "scheduler_metrics", "request_end_time") or positive(entry, "end_time")
    for group, outcome in (("successful", "ok"), ("errored", "error"), ("incomplete", "cut")):
        for request in field(entry, "requests", group) or []:
            timings = field(request, "info", "timings") or field(request, "scheduler_info", "request_timings")
            start, end, first, last = (
                next((x for name in names if (x := positive(timings, name) or positive(request, name))), None)
                for names in _TIMES
            )
            if end is None and outcome == "cut":
                end = stopped  # 0.8 gives a request that it cut off no end
            if start is None or end is None or end < start:
                continue
            yield ToolRequest(
                start_s=start,
                ended_s=end,
                outcome=outcome,
                first_s=first,
                last_s=last,
                input_tokens=positive(request, "input_metrics", "text_tokens") or positive(request, "prompt_tokens"),
                output_tokens=positive(request, "output_metrics", "text_tokens") or positive(request, "output_tokens"),
            )


def _has_fewer_chunks(entry: Row) -> bool:
    for request in field(entry, "requests", "successful") or []:
        chunks = positive(request, "info", "timings", "token_iterations")
        tokens = positive(request, "output_metrics", "text_tokens")
        if chunks is not None and tokens is not None and tokens > 1.5 * chunks:
            return True
    return False


def _summary_level(entry: Row, mode: Mode, target: float | None, *, is_poisson: bool) -> ToolLevel | None:
    def stated(name: str, per: float = 1.0) -> Statistics | None:
        group = field(entry, "metrics", name, "successful")
        average = positive(group, "mean")
        if average is None or not positive(group, "count"):
            return None
        shares = {k: positive(group, "percentiles", f"p{k}") for k in (50, 95, 99)}
        top = positive(group, "max")
        return Statistics(
            mean=average / per,
            count=int(number(group, "count") or 0),
            p50=_per(shares[50] or positive(group, "median"), per),
            p95=_per(shares[95], per),
            p99=_per(shares[99], per),
            max=_per(top, per),
        )

    latency, flight = stated("request_latency"), positive(entry, "metrics", "request_concurrency", "successful", "mean")
    target = target if target is not None else flight
    if latency is None or target is None:
        return None
    return ToolLevel(
        mode=mode,
        target=target,
        is_poisson=is_poisson,
        window_s=positive(entry, "duration"),
        concurrency=positive(entry, "metrics", "request_concurrency", "total", "mean") or flight,
        requests_per_s=positive(entry, "metrics", "requests_per_second", "successful", "mean"),
        input_tokens_per_s=positive(entry, "metrics", "prompt_tokens_per_second", "successful", "mean"),
        output_tokens_per_s=positive(entry, "metrics", "output_tokens_per_second", "successful", "mean"),
        input_tokens=stated("prompt_token_count"),
        output_tokens=stated("output_token_count"),
        ttft_s=stated("time_to_first_token_ms", MILLISECONDS_PER_SECOND),
        tpot_s=stated("inter_token_latency_ms", MILLISECONDS_PER_SECOND),
        e2e_s=latency,
    )


def _per(value: float | None, per: float) -> float | None:
    return None if value is None else value / per


def _from_csv(document: Document) -> ToolResult:
    """Columns are named by three rows: group, metric, statistic."""
    names = list(zip(*document.grid[:3], strict=False))
    rows = [dict(zip(names, cells, strict=False)) for cells in document.grid[3:]]
    levels = [level for row in rows if (level := _csv_level(row)) is not None]
    first = rows[0] if rows else {}
    return ToolResult(
        tool=NAME,
        tool_version=text(_embedded(first, "Runtime Info", "Metadata"), "guidellm_version"),
        file=document.name,
        sha256=document.sha256,
        measured_at=iso_date(first.get(("Timings", "Start Time", ""))),
        subject=Subject(model=text(_embedded(first, "Run Info", "Backend"), "model")),
        levels=tuple(levels),
        biases=(TTFT_BIAS, LOW_RATE, *([REPEATED_GAPS] if any(level.is_poisson for level in levels) else [])),
        notes=(CSV_NOTE,),
        run=first.get(("Run Info", "Run ID", "")) or None,
    )


def _embedded(row: Mapping[tuple[str, ...], str], group: str, name: str) -> object:
    """JSON that stands in one cell of the CSV; `None` where it is none."""
    try:
        return parse_json(row.get((group, name, ""), "").encode())
    except ValueError:
        return None


def _csv_level(row: Mapping[tuple[str, ...], str]) -> ToolLevel | None:
    def cell(group: str, name: str, statistic: str = "Mean") -> float | None:
        return positive(row.get((group, name, statistic)))

    def stated(group: str, name: str, per: float = 1.0) -> Statistics | None:
        average = cell(group, name)
        return None if average is None else Statistics(mean=average / per, p50=_per(cell(group, name, "Median"), per))

    kind, _, size = row.get(("Benchmark", "Strategy", ""), "").partition("@")
    latency = stated("Request Latency", "Successful Sec")
    flying = [x for name in ("Successful", "Incomplete") if (x := cell("Server Throughput", f"{name} Concurrency"))]
    target = positive(size) or (1.0 if kind == "synchronous" else sum(flying) or None)
    if latency is None or target is None:
        return None
    return ToolLevel(
        mode="open" if kind in _OPEN else "closed",
        target=target,
        is_poisson=kind == "poisson",
        window_s=cell("Timings", "Duration", "Sec"),
        concurrency=sum(flying) or None,
        requests_per_s=cell("Server Throughput", "Successful Requests/Sec"),
        input_tokens_per_s=cell("Token Throughput", "Successful Input Tokens/Sec"),
        output_tokens_per_s=cell("Token Throughput", "Successful Output Tokens/Sec"),
        input_tokens=stated("Token Metrics", "Successful Input Tokens"),
        output_tokens=stated("Token Metrics", "Successful Output Tokens"),
        ttft_s=stated("Time to First Token", "Successful ms", MILLISECONDS_PER_SECOND),
        tpot_s=stated("Inter Token Latency", "Successful ms", MILLISECONDS_PER_SECOND),
        e2e_s=latency,
    )
