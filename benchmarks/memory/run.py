"""Is an engine's memory explained: the mapped file against its size, cache per token against the architecture.

Example: .venv/bin/python benchmarks/memory/run.py SmolLM2-135M:Q8_0 Qwen3-0.6B:Q4_K_M
"""

import sys
import tempfile
from pathlib import Path

from measure.commands import synthetic_model
from measure.engine import EngineOptions, embedded_engine
from measure.memory import MemoryParts, explain_memory
from measure.memory_probe import probe_contexts, read_memory
from measure.modelfile import read_model_file
from planner.units import BYTES_PER_GIB

SLOTS, CONTEXT_TOKENS = 2, 8192


def main() -> None:
    columns = ("model", "weights, file / mapped [GiB]", "KV cache, arithmetic / measured [bytes/token]", "rest [GiB]")
    print(f"| {' | '.join((*columns, 'load [s]'))} |\n|---|---|---|---|---|")
    for name in sys.argv[1:] or ["SmolLM2-135M:Q8_0"]:
        path = synthetic_model(name, Path("runs") / "models")
        options = EngineOptions(model=path, slots=SLOTS, context_tokens=CONTEXT_TOKENS)
        with tempfile.TemporaryDirectory() as folder:
            with embedded_engine(options, Path(folder)) as engine:
                first = read_memory(engine.process.pid, path, SLOTS * CONTEXT_TOKENS)
                load_s = engine.facts.load_time_s or 0.0
            assert first is not None
            parts = explain_memory([first, *probe_contexts(options, Path(folder))])
        if not isinstance(parts, MemoryParts):
            print(f"| {name} | {parts} | | | |")
            continue
        model, mapped = read_model_file(path), parts.weights_bytes or 0
        arithmetic = model.kv_bytes_per_token or 0.0
        print(
            f"| {name} | {model.file_bytes / BYTES_PER_GIB:.3f} / {mapped / BYTES_PER_GIB:.3f} "
            f"({mapped / model.file_bytes - 1:+.2%}) | {arithmetic:.0f} / {parts.kv_bytes_per_token:.0f} "
            f"({parts.kv_bytes_per_token / arithmetic - 1:+.2%}) | {(parts.overhead_bytes or 0) / BYTES_PER_GIB:.3f} "
            f"| {load_s:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
