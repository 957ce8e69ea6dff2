"""servebench: `run.json` with every request of every level, in seconds from the start of the level."""

import itertools

from planner.imports.document import Document, Row, field, iso_date, number, numbers, positive, text
from planner.imports.record import Mode, Subject, ToolLevel, ToolRequest, ToolResult
from planner.imports.window import level_of_requests
from planner.profile import Host

NAME = "servebench"

TTFT_BIAS = (
    "servebench stamps the start before its client sends: TTFT grows with streams (23 ms at 64 and 42 ms at 256 "
    "where the "
    "truth is 20; 1.1.3 on 2 cores), and its own lag check does not see it"
)
CHUNKS = "where the server reports no usage servebench counts chunks as tokens: such levels are not used"
RECONNECTS = (
    "servebench counts a request sent on a connection that the server just closed as failed; llama.cpp's server "
    "closes them after every answer, which lost it half of its requests (1.1.3)"
)


def detects(document: Document) -> bool:
    row = document.first
    return field(row, "environment", "servebench_version") is not None and isinstance(row.get("levels"), list)


def read(document: Document) -> list[ToolResult]:
    run = document.first
    environment = run["environment"]
    levels = [level for entry in run["levels"] if (level := _level(entry, run)) is not None]
    gpus = [name for gpu in field(environment, "gpus") or [] if (name := text(gpu, "name") or text(gpu))]
    host = None
    if field(environment, "local_server") is True and positive(environment, "ram_gb"):
        cores = (text(environment, "client_cpu") or "").split()
        host = Host(
            cpu_model=text(environment, "cpu") or "unknown",
            cpu_cores=int(cores[0]) if cores and cores[0].isdigit() else 0,
            ram_gib=positive(environment, "ram_gb") or 0.0,
            accelerators=tuple(gpus),
            os=text(environment, "platform") or "unknown",
        )
    slots, context = positive(environment, "model_info", "total_slots"), positive(environment, "model_info", "n_ctx")
    return [
        ToolResult(
            tool=NAME,
            tool_version=text(environment, "servebench_version"),
            file=document.name,
            sha256=document.sha256,
            measured_at=iso_date(text(environment, "timestamp")),
            subject=Subject(
                model=text(run, "config", "model"),
                engine=text(environment, "engine"),
                engine_version=text(environment, "engine_version"),
            ),
            levels=tuple(levels),
            host=host,
            accelerators=tuple(gpus),
            slots=int(slots) if slots else None,
            context_tokens=int(context) if context else None,
            biases=(TTFT_BIAS, CHUNKS, *([RECONNECTS] if any(level.failures for level in levels) else [])),
        )
    ]


def _level(entry: Row, run: Row) -> ToolLevel | None:
    mode: Mode = "open" if text(entry, "mode") == "rate" else "closed"
    requests = [r for x in field(entry, "requests") or [] if (r := _request(x)) is not None]
    sources = {text(x, "token_source") for x in field(entry, "requests") or [] if field(x, "ok") is True}
    if not sources <= {"usage", "tokenizer", None}:
        return None
    is_poisson = (text(run, "config", "arrival_dist") or "poisson") == "poisson"
    return level_of_requests(
        requests, mode=mode, target=positive(entry, "value"), is_poisson=mode == "open" and is_poisson
    )


def _request(request: Row) -> ToolRequest | None:
    start, ttft, e2e = (number(request, name) for name in ("start", "ttft", "e2e"))
    if start is None:
        return None
    times = numbers(request, "chunk_times")
    ok = field(request, "ok") is True and ttft is not None and e2e is not None
    tokens = positive(request, "output_tokens")
    return ToolRequest(
        start_s=start,
        ended_s=start + (e2e or 0.0),
        outcome="ok" if ok else (text(request, "error") or "error"),
        first_s=start + ttft if ok and ttft is not None else None,
        last_s=None if not ok or e2e is None else start + (times[-1] if times else e2e),
        input_tokens=positive(request, "prompt_tokens"),
        output_tokens=tokens if ok else None,
        gaps_s=tuple(b - a for a, b in itertools.pairwise(times)) if tokens == len(times) else (),
    )
