"""Read an engine's memory as the kernel counts it, and start it again with smaller contexts to see what they take."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from measure.engine import EngineOptions, embedded_engine
from measure.gpu import GpuReader
from measure.memory import MIN_READINGS, contexts_to_probe
from measure.modelfile import read_model_file
from measure.progress import Progress
from measure.run_info import EngineFacts, MemoryReading, TargetInfo
from measure.rundir import RunDirectory
from planner.units import BYTES_PER_KIB

MAX_LOAD_TIME_S = 60.0
"""An engine that took longer to load is not started twice more for its memory's sake."""


def read_memory(pid: int, model: Path, context_tokens: int) -> MemoryReading | None:
    """`context_tokens` of all sequences together. `None` where the kernel does not tell, as outside Linux."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        maps = Path(f"/proc/{pid}/smaps").read_text()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return MemoryReading(
        context_tokens=context_tokens,
        resident_bytes=_bytes(fields["VmRSS"]),
        anonymous_bytes=_bytes(fields["RssAnon"]),
        model_file_bytes=_mapped_bytes(maps, str(model.resolve())),
        gpu_bytes=GpuReader().process_bytes(pid),
    )


def first_reading(target: TargetInfo, facts: EngineFacts) -> tuple[MemoryReading, ...]:
    """Of the engine that was just loaded for the measurement; none of a server that is not ours."""
    if target.kind != "gguf" or facts.pid is None or facts.slots is None or facts.context_tokens is None:
        return ()
    reading = read_memory(facts.pid, Path(target.location), facts.slots * facts.context_tokens)
    return () if reading is None else (reading,)


def probe_session(run: RunDirectory, progress: Progress) -> None:
    """Load the embedded engine of the newest session again at smaller contexts, and add the readings to the session."""
    info = run.read_info()
    session = info.sessions[-1]
    facts = session.engine
    assert facts.slots is not None
    assert facts.context_tokens is not None
    options = EngineOptions(model=Path(info.target.location), slots=facts.slots, context_tokens=facts.context_tokens)
    if facts.load_time_s is not None and facts.load_time_s > MAX_LOAD_TIME_S:
        reason: str | None = (
            f"loading took {facts.load_time_s:.0f} s, too long to load the engine at two more context sizes"
        )
        readings = session.memory_readings
    else:
        progress.note("loading the engine at smaller contexts to see what its cache takes")
        readings = (*session.memory_readings, *probe_contexts(options, run.path))
        reason = None if len(readings) >= MIN_READINGS else _too_few(session.memory_readings)
    run.update_session(replace(session, memory_readings=readings, memory_reason=reason))


def _too_few(first: Sequence[MemoryReading]) -> str:
    if not first:
        return "this system does not tell which memory of a process is its own"
    return "the context is hardly longer than the window of the windowed layers; measure with more --context-tokens"


def probe_contexts(options: EngineOptions, directory: Path) -> tuple[MemoryReading, ...]:
    """Load the engine at two smaller contexts, one after the other, and read each before it has served anything."""
    readings = []
    for context_tokens in contexts_to_probe(read_model_file(options.model), options.context_tokens):
        smaller = replace(options, context_tokens=context_tokens, port=None)
        with embedded_engine(smaller, directory) as engine:
            readings.append(read_memory(engine.process.pid, options.model, options.slots * context_tokens))
    return tuple(reading for reading in readings if reading is not None)


def _mapped_bytes(maps: str, path: str) -> int | None:
    """Resident pages of all mappings of a file, from the text of `smaps`; `None` if it is not mapped."""
    pages = [_bytes(rss) for name, rss in _mappings(maps.splitlines()) if name == path]
    return sum(pages) if pages else None


def _mappings(lines: Sequence[str]) -> list[tuple[str, str]]:
    """(path, resident size) of every mapping; those without a file have an empty path."""
    found, name = [], ""
    for line in lines:
        head = line.split(maxsplit=5)
        if len(head) >= 5 and "-" in head[0] and not head[0].endswith(":"):
            name = head[5] if len(head) == 6 else ""
        elif line.startswith("Rss:"):
            found.append((name, line.removeprefix("Rss:")))
    return found


def _bytes(kibibytes: str) -> int:
    """The kernel's `   123 kB`, which means KiB."""
    return int(kibibytes.split()[0]) * BYTES_PER_KIB
