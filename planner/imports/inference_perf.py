"""inference-perf: `stage_N_lifecycle_metrics.json` and `per_request_lifecycle_metrics.json`, all times in seconds.

A stage is an open loop at a requested rate. Its TPOT is (end - first token) / (tokens - 1) per request, its ITL pools
the gaps; both as here.
"""

import itertools
from collections.abc import Iterator, Sequence

from planner.imports.document import Document, Row, field, number, numbers, positive, text
from planner.imports.record import Mode, Subject, ToolLevel, ToolRequest, ToolResult
from planner.imports.window import level_of_requests
from planner.profile import Statistics

NAME = "inference-perf"

RANDOM_RATE = "inference-perf's constant rate draws exponential gaps: the arrivals are those of a Poisson process"
CHUNKS = "inference-perf counts tokens with a client tokenizer, chunk by chunk in older versions, which can halve ITL"
UNSENT = "inference-perf calls a stage complete that could not send all its requests: compare the achieved rate"
SINGLE = "computed from single requests"
NO_MODEL = "neither file names the model"


def detects(document: Document) -> bool:
    row = document.first
    return (isinstance(row.get("load_summary"), dict) and "successes" in row) or (
        "stage_id" in row and "start_time" in row and isinstance(row.get("info"), dict)
    )


def read(document: Document) -> list[ToolResult]:
    if "load_summary" in document.first:
        levels = [level for row in document.rows if (level := _stage(row)) is not None]
    else:
        levels = list(_stages(document.rows))
    return [
        ToolResult(
            tool=NAME,
            tool_version=None,
            file=document.name,
            sha256=document.sha256,
            measured_at=None,
            subject=Subject(),
            levels=tuple(levels),
            biases=(RANDOM_RATE, CHUNKS, UNSENT),
            notes=(NO_MODEL,) if "load_summary" in document.first else (NO_MODEL, SINGLE),
            run=document.name.rpartition("/")[0] or None,
        )
    ]


def merged(results: Sequence[ToolResult]) -> list[ToolResult]:
    """Without the stage summaries of a run whose single requests are there too."""
    whole = {r.run for r in results if SINGLE in r.notes and r.run is not None}
    return [r for r in results if SINGLE in r.notes or r.run not in whole]


def _stage(row: Row) -> ToolLevel | None:
    good, load = row.get("successes"), row["load_summary"]
    latency, ttft = _block(good, "latency", "request_latency"), _block(good, "latency", "time_to_first_token")
    rate = positive(good, "throughput", "requests_per_sec")
    streams = positive(load, "concurrency") or positive(load, "concurrency_level")
    wanted = positive(load, "requested_rate")
    mode: Mode = "open" if streams is None else "closed"
    target = wanted if streams is None else streams
    if latency is None or target is None:
        return None
    achieved, count = positive(load, "achieved_rate") or rate, number(load, "count") or 0.0
    failed = number(row, "failures", "count") or 0.0
    reasons = []
    if failed > 0.05 * max(count, failed):
        reasons.append(f"{failed:.0f} of {count:.0f} requests failed")
    if mode == "open" and achieved is not None and achieved < 0.95 * target:
        reasons.append(f"only {achieved:.3g} of {target:g} requests/s were sent")
    return ToolLevel(
        mode=mode,
        target=target,
        is_poisson=mode == "open",
        concurrency=rate * latency.mean if rate is not None else None,
        requests_per_s=rate,
        input_tokens_per_s=positive(good, "throughput", "input_tokens_per_sec"),
        output_tokens_per_s=positive(good, "throughput", "output_tokens_per_sec"),
        input_tokens=_block(good, "prompt_len"),
        output_tokens=_block(good, "output_len"),
        ttft_s=ttft,
        tpot_s=_block(good, "latency", "time_per_output_token"),
        itl_s=_block(good, "latency", "inter_token_latency"),
        e2e_s=latency,
        failures=(("error", int(failed)),) if failed else (),
        invalid_reasons=tuple(reasons),
    )


def _block(value: object, *path: str) -> Statistics | None:
    block = field(value, *path)
    average = positive(block, "mean")
    if average is None:
        return None
    count = positive(value, "count")
    return Statistics(
        mean=average,
        count=int(count) if count else None,
        p50=positive(block, "median") or positive(block, "p50"),
        p95=positive(block, "p95"),
        p99=positive(block, "p99"),
        max=positive(block, "max"),
    )


def _stages(rows: tuple[Row, ...]) -> Iterator[ToolLevel]:
    """Single requests by stage; the offered rate is that at which they were scheduled."""
    stages: dict[object, list[Row]] = {}
    for row in rows:
        stages.setdefault(row.get("stage_id"), []).append(row)
    for members in stages.values():
        planned = sorted(x for row in members if (x := number(row, "scheduled_time")) is not None)
        span_s = planned[-1] - planned[0] if len(planned) > 1 else 0.0
        target = (len(planned) - 1) / span_s if span_s > 0 else None
        requests = [r for row in members if (r := _request(row)) is not None]
        mode: Mode = "closed" if target is None else "open"
        level = level_of_requests(requests, mode=mode, target=target, is_poisson=mode == "open")
        if level is not None:
            yield level


def _request(row: Row) -> ToolRequest | None:
    start, end = number(row, "start_time"), number(row, "end_time")
    if start is None or end is None or end < start:
        return None
    answer = field(row, "info", "response_metrics") or row.get("info")
    times = numbers(answer, "output_token_times") or numbers(answer, "chunk_times")
    usage = field(answer, "server_usage")
    tokens = positive(usage, "completion_tokens") or positive(answer, "output_tokens")
    prompt = positive(usage, "prompt_tokens") or positive(row, "info", "request_metrics", "text", "input_tokens")
    error = row.get("error")
    return ToolRequest(
        start_s=start,
        ended_s=end,
        outcome="ok" if not error else (text(error, "error_type") or "error"),
        first_s=times[0] if times and not error else None,
        last_s=times[-1] if times and not error else None,
        input_tokens=prompt or positive(row, "info", "input_tokens"),
        output_tokens=tokens,
        gaps_s=tuple(b - a for a, b in itertools.pairwise(times)) if tokens == len(times) else (),
    )
