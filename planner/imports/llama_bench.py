"""llama.cpp's `llama-bench` (JSON, JSON lines, CSV) and `llama-batched-bench` (JSON lines): the engine's loop alone.

Neither has a queue, HTTP, or prompts that arrive while others decode. llama-bench runs one sequence: a prompt test
gives the TTFT of a lone request, a generation test its TPOT. llama-batched-bench processes `pl` prompts of `pp` tokens
and then decodes `tg` tokens of all at once, so a closed loop is composed from its two times: a decode step of `pl`
sequences takes t_tg / tg, and on each of them fall (N - 1) / (w + O - 1) prompts of others at t_pp / pl, as
`planner.steptime.fit` has it with a wait of w = 1 step.
"""

from planner.imports.document import Document, Row, field, has, iso_date, mean, numbers, positive, text
from planner.imports.record import Kind, Subject, ToolLevel, ToolResult
from planner.profile import Host, Statistics
from planner.steptime.fit import WAITED_STEPS
from planner.units import NANOSECONDS_PER_SECOND

BENCH = "llama-bench"
BATCHED = "llama-batched-bench"

ENGINE_ONLY = "engine-only: no queueing, no HTTP, no tokenizer and no sampling of real requests is in these figures"
ONE_SEQUENCE = "llama-bench runs one sequence at a time: how the engine serves several is not in it"
COMPOSED = "levels are composed from the times of prompts and of decode steps, as if no two prompts ever shared a batch"


_SAME = (
    *("model_filename", "model_type", "backends", "n_gpu_layers", "n_threads"),
    *("type_k", "type_v", "n_batch", "n_ubatch", "flash_attn"),
)
"""What must be equal for two tests to be about one engine."""

_SETTINGS = (("t", "n_threads"), ("ngl", "n_gpu_layers"), ("fa", "flash_attn"))


def detects(document: Document) -> bool:
    row = document.first
    return (has(row, "n_prompt", "n_gen") and ("avg_ts" in row or "avg_ns" in row)) or has(
        row, "pp", "tg", "pl", "t_pp", "t_tg"
    )


def read(document: Document) -> list[ToolResult]:
    return [_batched(document)] if "t_pp" in document.first else _bench(document)


def _bench(document: Document) -> list[ToolResult]:
    """A result per model and settings: rows of the same settings differ only in the test."""
    groups: dict[tuple[str | None, ...], list[Row]] = {}
    for row in document.rows:
        groups.setdefault(tuple(text(row, name) for name in _SAME), []).append(row)
    return [_bench_result(document, rows) for rows in groups.values()]


def _bench_result(document: Document, rows: list[Row]) -> ToolResult:
    first = rows[0]
    prompts = [(n, s) for row in rows if (n := positive(row, "n_prompt")) and not positive(row, "n_gen")
               and not positive(row, "n_depth") and (s := _seconds(row, n)) is not None]  # fmt: skip
    decodes = [(n, s / n) for row in rows if (n := positive(row, "n_gen")) and not positive(row, "n_prompt")
               and not positive(row, "n_depth") and (s := _seconds(row, n)) is not None]  # fmt: skip
    levels = []
    tpot_s = mean(s for _, s in decodes)
    for tokens, seconds in prompts:
        output = decodes[0][0] if decodes else None
        levels.append(
            ToolLevel(
                mode="closed",
                target=1.0,
                concurrency=1.0,
                input_tokens=Statistics(mean=tokens),
                output_tokens=None if output is None else Statistics(mean=output),
                ttft_s=Statistics(mean=seconds),
                tpot_s=None if tpot_s is None else Statistics(mean=tpot_s),
                e2e_s=None if tpot_s is None or output is None else Statistics(mean=seconds + (output - 1) * tpot_s),
                notes=(f"prompt test of {tokens:.0f} tokens",),
            )
        )
    gpu, cpu = text(first, "gpu_info"), text(first, "cpu_info")
    return ToolResult(
        tool=BENCH,
        tool_version=text(first, "build_number"),
        file=document.name,
        sha256=document.sha256,
        measured_at=iso_date(text(first, "test_time")),
        subject=Subject(
            model=text(first, "model_type") or text(first, "model_filename"),
            engine="llama.cpp",
            engine_version="-".join(filter(None, (text(first, "build_number"), text(first, "build_commit")))) or None,
            hardware=gpu or cpu,
            parallelism=" ".join(f"{label}{value}" for label, name in _SETTINGS if (value := text(first, name)))
            or None,
        ),
        levels=tuple(levels),
        kind=Kind.ENGINE_ONLY,
        host=Host(
            cpu_model=cpu or "unknown", cpu_cores=0, ram_gib=0.0, accelerators=(gpu,) if gpu else (), os="unknown"
        ),
        accelerators=(gpu,) if gpu else (),
        slots=1,
        step_token_budget=_whole(first, "n_batch"),
        weights_bytes=_whole(first, "model_size"),
        biases=(ENGINE_ONLY, ONE_SEQUENCE),
    )


def _seconds(row: Row, tokens: float) -> float | None:
    """Mean seconds of a test: of its samples, else its mean, else tokens over speed."""
    samples = numbers(row, "samples_ns")
    nanoseconds = (sum(samples) / len(samples)) if samples else positive(row, "avg_ns")
    if nanoseconds:
        return nanoseconds / NANOSECONDS_PER_SECOND
    speed = positive(row, "avg_ts")
    return None if speed is None else tokens / speed


def _whole(row: Row, name: str) -> int | None:
    found = positive(row, name)
    return int(found) if found else None


def _batched(document: Document) -> ToolResult:
    first = document.first
    levels = [level for row in document.rows if (level := _batched_level(row)) is not None]
    sequences = [int(n) for row in document.rows if (n := positive(row, "pl"))]
    return ToolResult(
        tool=BATCHED,
        tool_version=None,
        file=document.name,
        sha256=document.sha256,
        measured_at=None,
        subject=Subject(engine="llama.cpp"),
        levels=tuple(levels),
        kind=Kind.ENGINE_ONLY,
        slots=max(sequences, default=1),
        context_tokens=None if not sequences or not (n := _whole(first, "n_kv_max")) else n // max(sequences),
        step_token_budget=_whole(first, "n_batch"),
        biases=(ENGINE_ONLY, COMPOSED),
        notes=("the file does not name the model or the machine",),
    )


def _batched_level(row: Row) -> ToolLevel | None:
    """4 sequences, 128:32, t_pp 0.8 s, t_tg 0.62 s: decode step 19.4 ms and 3 / 32 prompts of 0.2 s give 38.1 ms."""
    pp, tg, pl = (positive(row, name) for name in ("pp", "tg", "pl"))
    t_pp, t_tg = positive(row, "t_pp"), positive(row, "t_tg")
    if pp is None or tg is None or pl is None or t_pp is None or t_tg is None or tg < 2:
        return None
    shared = field(row, "is_pp_shared") in (1, True, "1")
    prompt_s = t_pp if shared else t_pp / pl
    tpot_s = t_tg / tg + (pl - 1) / (WAITED_STEPS + tg - 1) * prompt_s
    ttft_s = prompt_s + (t_tg / tg if pl > 1 else 0.0)
    e2e_s = ttft_s + (tg - 1) * tpot_s
    return ToolLevel(
        mode="closed",
        target=pl,
        concurrency=pl,
        requests_per_s=pl / e2e_s,
        input_tokens_per_s=pl * pp / e2e_s,
        output_tokens_per_s=pl * tg / e2e_s,
        input_tokens=Statistics(mean=pp),
        output_tokens=Statistics(mean=tg),
        ttft_s=Statistics(mean=ttft_s),
        tpot_s=Statistics(mean=tpot_s),
        e2e_s=Statistics(mean=e2e_s),
    )
