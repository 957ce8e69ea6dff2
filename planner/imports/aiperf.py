"""aiperf (`profile_export_aiperf.json`, `profile_export.jsonl`) and its forerunner GenAI-Perf.

The forerunner writes `profile_export_genai_perf.json`.
Both write blocks `{unit, avg, p50, ..., max}` per metric. Their `inter_token_latency` is, per request, (latency -
TTFT) / (tokens - 1): that is TPOT here. Times in the JSON lines are Unix nanoseconds, metrics in milliseconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from planner.imports.document import Document, Row, field, iso_date, number, numbers, positive, text
from planner.imports.record import Mode, Subject, ToolLevel, ToolRequest, ToolResult
from planner.imports.window import held_at, level_of_requests
from planner.profile import Statistics
from planner.units import MILLISECONDS_PER_SECOND, NANOSECONDS_PER_SECOND

NAME = "aiperf"
OLD_NAME = "GenAI-Perf"

TTFT_BIAS = (
    "aiperf's client adds to TTFT as streams grow: where the truth is 20 ms it reports about 24 at 16, 38 at 64 and "
    "64 ms at 256 streams (p99 443 ms; 0.13.0 on 2 cores); the figures are kept as reported"
)
SPIN = (
    "aiperf's timing process keeps one core busy in concurrency mode: an engine on the same CPU had one core less than "
    "it seems"
)
LOW_RATE = "aiperf's rates divide by its whole run, ramp and drain included (1 to 10 % too low in 15 s runs)"
FROM_REQUESTS = "; the rates here are computed from its single requests over the time in which the load was held"
OLD_BIAS = "GenAI-Perf's rates include ramp and drain, and its client's own queueing is part of TTFT"

_SECONDS_PER = {"ms": 1 / MILLISECONDS_PER_SECOND, "s": 1.0, "sec": 1.0, "us": 1e-6, "ns": 1 / NANOSECONDS_PER_SECOND}


def detects(document: Document) -> bool:
    return _is_summary(document.first) or _is_request(document.first)


def _is_summary(row: Row) -> bool:
    return isinstance(row.get("input_config"), dict) and any(
        isinstance(row.get(name), dict) and "avg" in row[name] for name in ("request_latency", "request_throughput")
    )


def _is_request(row: Row) -> bool:
    return field(row, "metadata", "request_start_ns") is not None and isinstance(row.get("metrics"), dict | None)


def read(document: Document) -> list[ToolResult]:
    if _is_summary(document.first):
        return [_summary(document, row) for row in document.rows if _is_summary(row)]
    return [_log(document)]


def merged(results: Sequence[ToolResult]) -> list[ToolResult]:
    """One result per run: where a run has both files, the requests of the one under the settings of the other."""
    summaries = {r.run: r for r in results if r.tool == NAME and r.tool_version is not None and r.run is not None}
    logs = {r.run: r for r in results if _is_log(r) and r.run is not None}
    both = {run for run in summaries if run in logs and summaries[run].levels and logs[run].levels}
    kept = []
    for result in results:
        if result.run not in both or result is not logs.get(result.run):
            if result.run not in both or result is not summaries.get(result.run):
                kept.append(result)
            continue
        settings = summaries[result.run]
        stated = settings.levels[0]
        level = replace(result.levels[0], mode=stated.mode, target=stated.target, is_poisson=stated.is_poisson)
        biases = tuple(bias for bias in settings.biases if bias != LOW_RATE)
        kept.append(
            replace(settings, levels=(held_at(level),), file=result.file, sha256=result.sha256,
                    biases=(*biases, LOW_RATE + FROM_REQUESTS))
        )  # fmt: skip
    return kept


def _is_log(result: ToolResult) -> bool:
    return result.tool == NAME and result.tool_version is None


def _summary(document: Document, row: Row) -> ToolResult:
    is_old = "aiperf_version" not in row and "schema_version" not in row
    mode, target, is_poisson = _load(row)
    latency, rate = _block(row, "request_latency"), positive(row, "request_throughput", "avg")
    count = positive(row, "request_count", "avg") or positive(row, "request_count", "sum")
    failed = positive(row, "error_request_count", "avg") or positive(row, "error_request_count", "sum")
    if target is None and latency is not None and rate is not None:
        target = round(latency.mean * rate, 1)
    levels = []
    if latency is not None and target is not None:
        levels.append(
            ToolLevel(
                mode=mode,
                target=target,
                is_poisson=is_poisson,
                window_s=positive(row, "benchmark_duration", "avg"),
                concurrency=positive(row, "effective_concurrency", "avg"),
                requests_per_s=rate,
                output_tokens_per_s=positive(row, "output_token_throughput", "avg"),
                input_tokens=_block(row, "usage_prompt_tokens", 1.0) or _block(row, "input_sequence_length", 1.0),
                output_tokens=_block(row, "usage_completion_tokens", 1.0) or _block(row, "output_sequence_length", 1.0),
                ttft_s=_block(row, "time_to_first_token"),
                tpot_s=_block(row, "inter_token_latency"),
                e2e_s=latency,
                failures=(("error", int(failed)),) if failed else (),
                invalid_reasons=_invalid(row, failed, count),
            )
        )
    config = row["input_config"]
    return ToolResult(
        tool=OLD_NAME if is_old else NAME,
        tool_version=text(row, "aiperf_version") or text(row, "genai_perf_version"),
        file=document.name,
        sha256=document.sha256,
        measured_at=iso_date(text(row, "start_time")),
        subject=Subject(model=_model(config)),
        levels=tuple(levels),
        loaded_gpu_w=positive(row, "nvidia_average_gpu_power", "avg"),
        biases=(OLD_BIAS,) if is_old else (TTFT_BIAS, LOW_RATE, *([SPIN] if mode == "closed" else [])),
        run=document.name.rpartition("/")[0] or None,
    )


def _invalid(row: Row, failed: float | None, count: float | None) -> tuple[str, ...]:
    reasons = []
    if row.get("was_cancelled") is True:
        reasons.append("the run was cancelled")
    if failed and failed > 0.05 * (failed + (count or 0.0)):
        reasons.append(f"{failed:.0f} of {failed + (count or 0.0):.0f} requests failed")
    return tuple(reasons)


def _load(row: Row) -> tuple[Mode, float | None, bool]:
    """(mode, requests in flight or per second, random arrivals), from aiperf's phases or GenAI-Perf's settings."""
    config = row["input_config"]
    for phase in field(config, "phases") or field(config, "benchmark", "phases") or []:
        if text(phase, "kind") == "warmup" or text(phase, "name") == "warmup":
            continue
        kind = (text(phase, "type") or "").lower()
        rate, streams = positive(phase, "rate"), positive(phase, "concurrency")
        if rate is not None:
            return "open", rate, "constant" not in kind
        if streams is not None:
            return "closed", streams, False
    loads: tuple[object, ...] = (
        field(config, "loadgen"),
        field(config, "perf_analyzer", "stimulus"),
        field(config, "perf_analyzer"),
        config,
    )
    for place in loads:
        streams = positive(place, "concurrency") or positive(place, "concurrency", "start")
        rate = positive(place, "request_rate")
        if rate is not None:
            return "open", rate, text(place, "arrival_pattern") != "constant"
        if streams is not None:
            return "closed", streams, False
    return "closed", None, False


def _model(config: object) -> str | None:
    for path in (("models", 0), ("models", "items", 0, "name"), ("models", 0, "name"), ("endpoint", "model_names", 0),
                 ("model_names", 0), ("model", 0), ("model",), ("formatted_model_name",)):  # fmt: skip
        found = text(config, *path)
        if found:
            return found
    return None


def _block(row: Mapping[str, object], name: str, per: float | None = None) -> Statistics | None:
    """A metric's block, times in seconds by the unit that it states (milliseconds where it states none)."""
    block = field(row, name)
    average = positive(block, "avg")
    if average is None:
        return None
    factor = per if per is not None else _SECONDS_PER.get((text(block, "unit") or "ms").lower(), 1e-3)

    def part(key: str) -> float | None:
        found = positive(block, key)
        return None if found is None else found * factor

    count = positive(block, "count") or positive(row, "request_count", "avg")
    return Statistics(
        mean=average * factor,
        count=int(count) if count else None,
        p50=part("p50"),
        p95=part("p95"),
        p99=part("p99"),
        max=part("max"),
    )


def _log(document: Document) -> ToolResult:
    requests = [r for row in document.rows if (r := _request(row)) is not None]
    level = level_of_requests(requests, mode="closed", target=None)
    return ToolResult(
        tool=NAME,
        tool_version=None,
        file=document.name,
        sha256=document.sha256,
        measured_at=None,
        subject=Subject(),
        levels=(level,) if level is not None else (),
        biases=(TTFT_BIAS, LOW_RATE + FROM_REQUESTS),
        notes=("without profile_export_aiperf.json beside it the most requests in flight are taken as the target",),
        run=document.name.rpartition("/")[0] or None,
    )


def _request(row: Row) -> ToolRequest | None:
    meta, metrics = row.get("metadata"), row.get("metrics")
    start, end = positive(meta, "request_start_ns"), positive(meta, "request_end_ns")
    if text(meta, "benchmark_phase") == "warmup" or start is None or end is None:
        return None
    start_s = start / NANOSECONDS_PER_SECOND
    outcome = "ok"
    if field(meta, "was_cancelled") is True:
        outcome = "cut"
    elif row.get("error"):
        outcome = text(row, "error", "type") or "error"

    def seconds(name: str) -> float | None:
        value = positive(metrics, name, "value")
        unit = (text(metrics, name, "unit") or "ms").lower()
        return None if value is None else value * _SECONDS_PER.get(unit, 1e-3)

    ttft_s, latency_s = seconds("time_to_first_token"), seconds("request_latency")
    gaps = numbers(metrics, "inter_chunk_latency", "value")
    per = _SECONDS_PER.get((text(metrics, "inter_chunk_latency", "unit") or "ms").lower(), 1e-3)
    output = number(metrics, "usage_completion_tokens", "value") or number(metrics, "output_sequence_length", "value")
    tokens = output is not None and abs(len(gaps) + 1 - output) < 1
    return ToolRequest(
        start_s=start_s,
        ended_s=end / NANOSECONDS_PER_SECOND,
        outcome=outcome,
        first_s=None if ttft_s is None else start_s + ttft_s,
        last_s=None if latency_s is None else start_s + latency_s,
        input_tokens=number(metrics, "usage_prompt_tokens", "value")
        or number(metrics, "input_sequence_length", "value"),
        output_tokens=output,
        tpot_s=seconds("inter_token_latency"),
        gaps_s=tuple(gap * per for gap in gaps) if tokens else (),
    )
