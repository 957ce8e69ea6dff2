"""Which reader a file needs, by what is in it and never by its name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from planner.errors import InputError
from planner.imports import (
    aiperf,
    engine_log,
    guidellm,
    inference_perf,
    inferencex,
    level_table,
    llama_bench,
    servebench,
    vllm,
)
from planner.imports.document import Document
from planner.imports.record import ToolResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A tool family: what its files look like, and how to read one."""

    name: str
    detects: Callable[[Document], bool]
    read: Callable[[Document], list[ToolResult]]
    merged: Callable[[Sequence[ToolResult]], list[ToolResult]] = list


READERS: Sequence[Reader] = (
    Reader(
        name="guidellm (benchmarks.json, benchmarks.csv)",
        detects=guidellm.detects,
        read=guidellm.read,
        merged=guidellm.merged,
    ),
    Reader(
        name="aiperf (profile_export_aiperf.json, profile_export.jsonl), GenAI-Perf",
        detects=aiperf.detects,
        read=aiperf.read,
        merged=aiperf.merged,
    ),
    Reader(name="servebench run.json", detects=servebench.detects, read=servebench.read),
    Reader(name="llama-bench, llama-batched-bench", detects=llama_bench.detects, read=llama_bench.read),
    Reader(
        name="inference-perf stage and request metrics",
        detects=inference_perf.detects,
        read=inference_perf.read,
        merged=inference_perf.merged,
    ),
    Reader(name="InferenceX agg rows", detects=inferencex.detects, read=inferencex.read),
    Reader(name="vLLM bench serve, SGLang bench_serving", detects=vllm.detects, read=vllm.read),
    Reader(
        name="a CSV of level means (isl, osl, silicon_ttft_ms, ...)", detects=level_table.detects, read=level_table.read
    ),
    Reader(
        name="a log of single requests (input_toks, queued_ts, ...)", detects=engine_log.detects, read=engine_log.read
    ),
)


def reader_of(document: Document) -> Reader | None:
    """The reader that knows the file; `None` for a foreign one."""
    return next((reader for reader in READERS if reader.detects(document)), None)


def read_results(document: Document) -> list[ToolResult]:
    """What the file says. Raises `InputError` for a file of no known tool, or one without a single level."""
    reader = reader_of(document)
    if reader is None:
        known = "; ".join(reader.name for reader in READERS)
        raise InputError(f"{document.name} is of no known tool; known are {known}")
    results = reader.read(document)
    if not any(result.levels for result in results):
        raise InputError(
            f"{document.name} looks like {reader.name} but holds no load level with latencies; "
            "run the tool with streaming on and save its result again"
        )
    return results


def without_doubles(results: Sequence[ToolResult]) -> list[ToolResult]:
    """The results of several files, each measurement once where a tool writes it into more than one of them."""
    kept = list(results)
    for reader in READERS:
        kept = reader.merged(kept)
    return kept
