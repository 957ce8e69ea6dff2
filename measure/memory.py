"""Where an engine's memory goes, from readings of it at several context sizes: arithmetic only."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from measure.modelfile import ModelFile
from measure.run_info import MemoryReading, Session
from measure.samples import Sensors, TelemetrySample
from planner.profile import Memory
from planner.units import BYTES_PER_GIB

_SMALLEST_FRACS = (0.25, 0.5)
_BATCH_TOKENS = 1024  # of prompts in one batch, which windowed layers keep on top of their window
MIN_READINGS = 3
_MAX_RESIDUAL_FRAC = 0.02
_MIN_SPAN_BYTES = 16e6  # a program's own memory differs by some 0.3 MB between two starts


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryParts:
    """An engine's memory right after loading. `scope` says whose: the process's, or its share of the GPUs'.

    `resident = weights + kv_bytes_per_token x context_tokens + overhead`; overhead is the program itself, its buffers
    and copies of weights that it arranged anew. With layers that keep a window only, the window is overhead.
    """

    scope: str
    context_tokens: int
    resident_bytes: int
    weights_bytes: int | None
    kv_bytes_per_token: float
    overhead_bytes: float | None

    @property
    def kv_bytes(self) -> float:
        return self.kv_bytes_per_token * self.context_tokens


def contexts_to_probe(model: ModelFile, context_tokens: int) -> tuple[int, ...]:
    """Smaller contexts per sequence at which to load the engine again, beside `context_tokens`.

    8,192 without windowed layers: 2,048 and 4,096. With a window of 4,096: 5,120 and 6,656, because the cache of such
    layers stops growing only there. Empty where that leaves no room for a slope.
    """
    if model.window_tokens is None:
        contexts = [int(frac * context_tokens) for frac in _SMALLEST_FRACS]
    else:
        least = model.window_tokens + _BATCH_TOKENS
        contexts = [least, (least + context_tokens) // 2]
    return tuple(contexts) if contexts[0] > 0 and 1.25 * contexts[0] <= context_tokens else ()


def explain_memory(readings: Sequence[MemoryReading]) -> MemoryParts | str:
    """The parts at the largest context, or in one sentence why they cannot be told.

    The slope is a least-squares line through what the process allocated itself; the mapped model file is apart from
    it. 100, 123.04 and 146.08 MB at 0, 1,000 and 2,000 tokens: 23,040 bytes per token.
    """
    if len(readings) < MIN_READINGS:
        return f"a slope wants {MIN_READINGS} context sizes, there are readings of {len(readings)}"
    largest = max(readings, key=lambda reading: reading.context_tokens)
    on_gpu = [r.gpu_bytes for r in readings if r.gpu_bytes]
    is_on_gpu = len(on_gpu) == len(readings)
    allocated = np.array(on_gpu if is_on_gpu else [r.anonymous_bytes for r in readings], dtype=float)
    tokens = np.array([r.context_tokens for r in readings], dtype=float)
    if np.ptp(allocated) < _MIN_SPAN_BYTES:
        return "the caches of the context sizes tried differ by too little to show beside the program's own memory"
    slope, base = np.polyfit(tokens, allocated, 1)
    residual = np.abs(slope * tokens + base - allocated).max()
    if slope <= 0 or residual > _MAX_RESIDUAL_FRAC * np.ptp(allocated):
        return "the memory of the context sizes tried lies on no line, so the share of the KV cache cannot be told"
    kv_bytes = float(slope) * largest.context_tokens
    if is_on_gpu:
        resident, weights = largest.gpu_bytes or 0, None
    else:
        resident, weights = largest.resident_bytes, largest.model_file_bytes
    return MemoryParts(
        scope="gpu" if is_on_gpu else "process",
        context_tokens=largest.context_tokens,
        resident_bytes=resident,
        weights_bytes=weights,
        kv_bytes_per_token=float(slope),
        overhead_bytes=None if weights is None else resident - weights - kv_bytes,
    )


def memory_of_run(
    session: Session, samples: Sequence[TelemetrySample], sensors: Sequence[Sensors], missing: dict[str, str]
) -> Memory:
    """Peak, headroom and parts for the profile; what is not known gets its reason in `missing`."""
    engine = session.engine
    if engine.weights_file_bytes is None:
        missing["memory.weights_file_gib"] = "the model file of a running server is not known"
    if engine.kv_bytes_per_token is None:
        missing["memory.kv_bytes_per_token"] = "the model's architecture is not known"
    uses_gpu = any(sample.gpus for sample in samples)
    if uses_gpu:
        peak: float | None = max(sum(gpu.memory_used_gib for gpu in sample.gpus) for sample in samples)
        available: float | None = sum(sensors[-1].gpu_memory_total_gib)
        headroom = None if available is None or peak is None else available - peak
    else:
        resident = [x for sample in samples if (x := sample.server_rss_gib) is not None]
        peak = max(resident) if resident else None
        available = sensors[-1].ram_total_gib if sensors else None
        headroom = min((sample.ram_available_gib for sample in samples), default=None)
        if peak is None:
            missing["memory.peak_gib"] = "the server's process is not known on this machine"
    memory = Memory(
        scope="gpu" if uses_gpu else "process",
        weights_file_gib=_gib(engine.weights_file_bytes),
        kv_bytes_per_token=engine.kv_bytes_per_token,
        peak_gib=peak,
        available_gib=available,
        headroom_gib=headroom,
    )
    return _with_parts(memory, session, missing)


def _with_parts(memory: Memory, session: Session, missing: dict[str, str]) -> Memory:
    """Add what the engine's memory consists of, as far as readings at several context sizes tell."""
    if len(session.memory_readings) < MIN_READINGS:
        missing["memory.kv_bytes_per_token_measured"] = session.memory_reason or (
            "only the embedded engine is loaded at several context sizes, from which the share of the cache shows"
        )
        return memory
    parts = explain_memory(session.memory_readings)
    if isinstance(parts, str):
        missing["memory.kv_bytes_per_token_measured"] = parts
        return memory
    if parts.weights_bytes is None:
        missing["memory.weights_gib"] = "weights on a GPU cannot be told from the engine's buffers there"
    return replace(
        memory,
        kv_bytes_per_token_measured=parts.kv_bytes_per_token,
        loaded_gib=_gib(parts.resident_bytes),
        weights_gib=_gib(parts.weights_bytes),
        kv_cache_gib=_gib(parts.kv_bytes),
        overhead_gib=_gib(parts.overhead_bytes),
    )


def _gib(size_bytes: float | None) -> float | None:
    return None if size_bytes is None else size_bytes / BYTES_PER_GIB
