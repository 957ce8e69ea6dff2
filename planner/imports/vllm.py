"""vLLM's `bench serve` (plain, `--save-detailed`, and JSON lines of `--append-result`) and SGLang's `bench_serving`.

SGLang's began as a copy of vLLM's: the same names in milliseconds, one run a line. TPOT is (latency - TTFT) / (tokens
- 1) per request in both, as here; ITL pools the gaps between chunks, which are tokens only where a chunk holds one.
"""

from collections.abc import Iterator

from planner.imports.document import Document, Row, field, has, iso_date, number, numbers, positive, text
from planner.imports.record import Mode, Subject, ToolLevel, ToolRequest, ToolResult
from planner.imports.window import level_of_requests
from planner.profile import Statistics
from planner.units import MILLISECONDS_PER_SECOND

VLLM = "vLLM bench serve"
SGLANG = "SGLang bench_serving"

ROLE_CHUNK = (
    "vLLM's client takes the first chunk with a `choices` list for the first token: with chat completions that is "
    "the role "
    "chunk, sent before any content, so TTFT may be too low and TPOT too high"
)
RAMP = (
    "rates divide by the time from the first send to the last answer, ramp and drain included, and are too low for "
    "short "
    "runs"
)
RATES_REDONE = "the rates here are computed from its single requests over the time in which the load was held"
CHUNKS = "its ITL is the gap between chunks and grows where a server puts several tokens into one"
BURST = (
    "no limit of requests in flight and an infinite rate: all requests were sent at once and the load was never steady"
)
RETOKENIZED = "output lengths are counted by the client's tokenizer where the server streams no usage"

_E2E = ("e2el", "e2e_latency")


def detects(document: Document) -> bool:
    row = document.first
    return has(row, "total_output_tokens", "request_throughput", "duration") and (
        "mean_ttft_ms" in row or "ttfts" in row
    )


def read(document: Document) -> list[ToolResult]:
    results = []
    for row in document.rows:
        if not has(row, "request_throughput", "duration"):
            continue
        is_sglang = "mean_e2e_latency_ms" in row or "total_output_tokens_retokenized" in row
        level, biases = _level(row, is_sglang)
        results.append(
            ToolResult(
                tool=SGLANG if is_sglang else VLLM,
                tool_version=None,
                file=document.name,
                sha256=document.sha256,
                measured_at=iso_date(text(row, "date")),
                subject=Subject(
                    model=text(row, "model_id") or text(row, "model") or text(row, "served_model_name"),
                    engine=_engine(row),
                    engine_version=text(row, "server_info", "version"),
                ),
                levels=(level,) if level is not None else (),
                context_tokens=_whole(row, "server_info", "context_length"),
                biases=biases,
            )
        )
    return results


def _engine(row: Row) -> str | None:
    """The client's `backend` names an engine only where it is none of the API kinds."""
    named = text(row, "backend") or text(row, "endpoint_type")
    return None if named is None or "openai" in named else named


def _whole(row: Row, *path: str) -> int | None:
    found = positive(row, *path)
    return int(found) if found else None


def _load(row: Row) -> tuple[Mode, float | None, bool]:
    """(mode, target, random arrivals). A finite rate is an open loop unless the streams are what limits it."""
    rate, streams = positive(row, "request_rate"), positive(row, "max_concurrency")
    if rate is not None:
        return "open", rate, (number(row, "burstiness") or 1.0) <= 2
    return "closed", streams, False


def _level(row: Row, is_sglang: bool) -> tuple[ToolLevel | None, tuple[str, ...]]:
    mode, target, is_poisson = _load(row)
    biases = (
        [] if is_sglang else ([ROLE_CHUNK] if "chat" in str(row.get("backend") or row.get("endpoint_type")) else [])
    )
    biases += [CHUNKS, *([RETOKENIZED] if is_sglang else [])]
    requests = list(_requests(row))
    if requests:
        level = level_of_requests(requests, mode=mode, target=target, is_poisson=is_poisson)
        return level, (*biases, f"{RAMP}; {RATES_REDONE}")
    biases.append(RAMP)
    ttft, rate, duration = _block(row, "ttft"), positive(row, "request_throughput"), positive(row, "duration")
    if ttft is None or rate is None or duration is None:
        return None, tuple(biases)
    completed, failed = number(row, "completed") or 0.0, number(row, "failed") or 0.0
    tpot, e2e = _block(row, "tpot"), next((b for name in _E2E if (b := _block(row, name))), None)
    inputs, outputs = (_average(row, name, completed) for name in ("total_input_tokens", "total_output_tokens"))
    if e2e is None and tpot is not None and outputs is not None:
        e2e = Statistics(mean=ttft.mean + max(outputs.mean - 1, 0.0) * tpot.mean)
    reasons = []
    if target is None:
        reasons.append(BURST)
    if failed > 0.05 * (failed + completed):
        reasons.append(f"{failed:.0f} of {failed + completed:.0f} requests failed")
    if mode == "open" and target is not None and rate < 0.9 * target:
        reasons.append(f"only {rate:.3g} of {target:g} requests/s were completed: the server or the client was full")
    return (
        ToolLevel(
            mode=mode,
            target=target or completed,
            is_poisson=is_poisson,
            window_s=duration,
            concurrency=positive(row, "concurrency") or (rate * e2e.mean if e2e else None),
            requests_per_s=rate,
            input_tokens_per_s=None if inputs is None else rate * inputs.mean,
            output_tokens_per_s=positive(row, "output_throughput"),
            input_tokens=inputs,
            output_tokens=outputs,
            ttft_s=ttft,
            tpot_s=tpot,
            itl_s=_block(row, "itl"),
            e2e_s=e2e,
            failures=(("error", int(failed)),) if failed else (),
            invalid_reasons=tuple(reasons),
        ),
        tuple(biases),
    )


def _block(row: Row, name: str) -> Statistics | None:
    """`mean_ttft_ms`, `median_ttft_ms`, `p99_ttft_ms` ... in seconds; tools write 0 for what they did not measure."""
    average = positive(row, f"mean_{name}_ms")
    if average is None:
        return None

    def part(key: str) -> float | None:
        found = positive(row, f"{key}_{name}_ms")
        return None if found is None else found / MILLISECONDS_PER_SECOND

    return Statistics(
        mean=average / MILLISECONDS_PER_SECOND, p50=part("median") or part("p50"), p95=part("p95"), p99=part("p99")
    )


def _average(row: Row, name: str, completed: float) -> Statistics | None:
    total = positive(row, name)
    return Statistics(mean=total / completed, count=int(completed)) if total is not None and completed else None


def _requests(row: Row) -> Iterator[ToolRequest]:
    """From the lists of `--save-detailed`. `start_times` is a clock of its own; failed requests have no tokens."""
    ttfts, outputs = numbers(row, "ttfts"), numbers(row, "output_lens")
    starts, inputs, latencies = (numbers(row, name) for name in ("start_times", "input_lens", "latencies"))
    gaps, errors = field(row, "itls") or [], field(row, "errors") or []
    for k in range(min(len(ttfts), len(outputs), len(starts))):
        between = numbers(gaps, k)
        life_s = latencies[k] if k < len(latencies) else ttfts[k] + sum(between)
        failed = bool(k < len(errors) and errors[k]) or outputs[k] <= 0
        yield ToolRequest(
            start_s=starts[k],
            ended_s=starts[k] + max(life_s, 0.0),
            outcome="error" if failed else "ok",
            first_s=None if failed else starts[k] + ttfts[k],
            last_s=None if failed else starts[k] + life_s,
            input_tokens=inputs[k] if k < len(inputs) and inputs[k] > 0 else None,
            output_tokens=None if failed else outputs[k],
            gaps_s=tuple(between) if abs(len(between) + 1 - outputs[k]) < 1 else (),
        )
