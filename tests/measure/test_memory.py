"""Memory explained: readings worked by hand, and the real engine against file size and arithmetic."""

from dataclasses import replace
from pathlib import Path

import pytest

from measure.architectures import find_architecture
from measure.engine import EngineOptions, embedded_engine
from measure.memory import MemoryParts, contexts_to_probe, explain_memory
from measure.memory_probe import probe_contexts, read_memory
from measure.modelfile import read_model_file
from measure.quant import Quant
from measure.run_info import MemoryReading
from measure.synthetic import write_synthetic_gguf


def reading(context_tokens: int, own: int, *, gpu: int | None = None) -> MemoryReading:
    return MemoryReading(
        context_tokens=context_tokens,
        resident_bytes=own + 150_000_000,
        anonymous_bytes=own,
        model_file_bytes=140_000_000,
        gpu_bytes=gpu,
    )


def test_the_slope_is_the_cache_and_the_rest_is_overhead() -> None:
    # 23,040 bytes a token on top of 40 MB of the program's own, 140 MB of weights and 10 MB of libraries
    parts = explain_memory([reading(n, 40_000_000 + 23_040 * n) for n in (1000, 2000, 4000)])
    assert isinstance(parts, MemoryParts)
    assert parts.kv_bytes_per_token == pytest.approx(23_040)
    assert parts.kv_bytes == pytest.approx(92_160_000)
    assert parts.weights_bytes == 140_000_000
    assert parts.resident_bytes == 282_160_000
    assert parts.overhead_bytes == pytest.approx(50_000_000)


def test_on_a_gpu_its_own_memory_is_the_one_that_counts() -> None:
    parts = explain_memory([reading(n, 1, gpu=5_000_000_000 + 131_072 * n) for n in (8192, 16384, 32768)])
    assert isinstance(parts, MemoryParts)
    assert (parts.scope, parts.weights_bytes, parts.overhead_bytes) == ("gpu", None, None)
    assert parts.kv_bytes_per_token == pytest.approx(131_072)


def test_what_is_no_line_is_not_explained() -> None:
    assert "3 context sizes" in str(explain_memory([reading(1000, 1), reading(2000, 2)]))
    jumpy = [reading(1000, 10_000_000), reading(2000, 90_000_000), reading(4000, 100_000_000)]
    assert "lies on no line" in str(explain_memory(jumpy))
    assert "differ by too little" in str(explain_memory([reading(n, 50_000_000) for n in (1000, 2000, 4000)]))


def test_windowed_layers_are_probed_beyond_their_window(tmp_path: Path) -> None:
    write_synthetic_gguf(tmp_path / "x.gguf", find_architecture("Tiny-1M"), Quant.Q8_0, seed=0)
    plain = read_model_file(tmp_path / "x.gguf")
    assert plain.window_tokens is None
    assert contexts_to_probe(plain, 8192) == (2048, 4096)
    windowed = replace(plain, window_tokens=4096)
    assert contexts_to_probe(windowed, 8192) == (5120, 6656)
    assert contexts_to_probe(windowed, 6000) == ()


@pytest.mark.engine
@pytest.mark.parametrize(("name", "layers"), [("Llama-3.2-1B", 4), ("Gemma-3-1B", 24)])
def test_the_real_engine_takes_what_file_and_arithmetic_say(name: str, layers: int, tmp_path: Path) -> None:
    small = {"layers": layers, "hidden": 512, "feed_forward": 512, "vocabulary": 2048}
    architecture = replace(find_architecture(name), **small)  # type: ignore[arg-type]
    path = tmp_path / "model.gguf"
    write_synthetic_gguf(path, architecture, Quant.Q8_0, seed=0)
    options = EngineOptions(model=path, slots=4, context_tokens=8192)
    with embedded_engine(options, tmp_path) as engine:
        largest = read_memory(engine.process.pid, path, 4 * 8192)
    assert largest is not None
    assert largest.model_file_bytes == pytest.approx(path.stat().st_size, rel=0.03)
    parts = explain_memory([largest, *probe_contexts(options, tmp_path)])
    assert isinstance(parts, MemoryParts)
    assert parts.kv_bytes_per_token == pytest.approx(architecture.kv_bytes_per_token(), rel=0.03)
    assert parts.overhead_bytes is not None
    assert parts.overhead_bytes > 0
