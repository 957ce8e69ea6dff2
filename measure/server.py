"""The server under test: one that runs already, or the embedded engine started for the occasion."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import uvloop

from measure.capabilities import probe_capabilities
from measure.endpoint import API_KEY_VARIABLE, Api, Dialect, Endpoint, parse_endpoint
from measure.engine import EngineOptions, embedded_engine
from measure.launch import launched_server
from measure.memory_probe import first_reading
from measure.probe import probe_server
from measure.progress import Progress
from measure.run_info import EngineFacts, MemoryReading, TargetInfo
from measure.tokens import TokenCounter


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """A server that answers, ours or not. `obituary` says how it ended, `None` while it is not known to have.

    `counter` counts tokens for a server that reports no usage; `None` where it does.
    """

    endpoint: Endpoint
    dialect: Dialect
    facts: EngineFacts
    obituary: Callable[[], str | None]
    counter: TokenCounter | None = None
    memory_readings: tuple[MemoryReading, ...] = ()  # of our own engine, before it served anything


@contextmanager
def running_server(target: TargetInfo, directory: Path, progress: Progress, *, seed: int) -> Iterator[RunningServer]:
    """Reach the server of `target`, or start the embedded engine on its file for the time of the block.

    It is tried out before anything else; see `measure.capabilities`.
    """
    if target.kind == "endpoint":
        endpoint = parse_endpoint(target.location, os.environ.get(API_KEY_VARIABLE))
        if target.launch is None:
            facts = probe_server(endpoint, target.model)
            yield _tried_out(endpoint, target, facts, progress, seed=seed)
            return
        progress.note(f"launching {target.launch}; waiting for an answer at {endpoint.url}")
        with launched_server(target.launch, endpoint, directory, say=progress.note) as launched:
            facts = replace(probe_server(endpoint, target.model), pid=launched.process.pid)
            reached_s = time.monotonic()
            server = _tried_out(endpoint, target, facts, progress, obituary=launched.obituary, seed=seed)
            assert server.facts.capabilities is not None
            loaded_s = reached_s - launched.started_s + server.facts.capabilities.first_answer_s
            yield replace(server, facts=replace(server.facts, load_time_s=loaded_s))
        return
    defaults = EngineOptions(model=Path(target.location))
    options = replace(
        defaults,
        slots=target.slots or defaults.slots,
        context_tokens=target.context_tokens or defaults.context_tokens,
        port=target.port,
    )
    progress.note(f"starting the embedded engine on {options.model}")
    with embedded_engine(options, directory) as engine:
        readings = first_reading(target, engine.facts)
        server = _tried_out(engine.endpoint, target, engine.facts, progress, obituary=engine.obituary, seed=seed)
        yield replace(server, memory_readings=readings)


def _tried_out(
    endpoint: Endpoint,
    target: TargetInfo,
    facts: EngineFacts,
    progress: Progress,
    *,
    obituary: Callable[[], str | None] = lambda: None,
    seed: int,
) -> RunningServer:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        dialect, found = runner.run(
            probe_capabilities(
                endpoint,
                api=None if target.api is None else Api(target.api),
                model=facts.model,
                is_llama=facts.name.startswith("llama.cpp"),
                seed=seed,
            )
        )
    counter = None
    notes = [*facts.notes, *found.notes]
    if not found.streams_usage:
        counter = TokenCounter(endpoint, model=facts.model, path=found.tokenize_path)
        notes.append(f"the server's stream holds no token usage: tokens are counted by {counter.name} after each level")
    # two or three at once may be a server too fast to show more; one after the other is a queue
    slots = 1 if facts.slots is None and found.parallel_sequences == 1 else facts.slots
    facts = replace(facts, capabilities=found, notes=tuple(notes), slots=slots)
    for note in notes:
        progress.note(note)
    return RunningServer(endpoint=endpoint, dialect=dialect, facts=facts, obituary=obituary, counter=counter)
