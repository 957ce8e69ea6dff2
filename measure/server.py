"""The server under test: one that runs already, or the embedded engine started for the occasion."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from measure.endpoint import API_KEY_VARIABLE, Api, Dialect, Endpoint, parse_endpoint
from measure.engine import EngineOptions, embedded_engine
from measure.launch import launched_server
from measure.probe import probe_server
from measure.progress import Progress
from measure.records import EngineFacts, TargetInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """A server that answers, ours or not. `obituary` says how it ended, `None` while it is not known to have."""

    endpoint: Endpoint
    dialect: Dialect
    facts: EngineFacts
    obituary: Callable[[], str | None]


@contextmanager
def running_server(target: TargetInfo, directory: Path, progress: Progress) -> Iterator[RunningServer]:
    """Reach the server of `target`, or start the embedded engine on its file for the time of the block."""
    if target.kind == "endpoint":
        endpoint = parse_endpoint(target.location, os.environ.get(API_KEY_VARIABLE))
        if target.launch is None:
            yield _reach(endpoint, target)
            return
        progress.note(f"launching {target.launch}; waiting for an answer at {endpoint.url}")
        with launched_server(target.launch, endpoint, directory) as launched:
            server = _reach(endpoint, target)
            facts = replace(server.facts, load_time_s=launched.load_time_s, pid=launched.process.pid)
            yield replace(server, facts=facts, obituary=launched.obituary)
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
        facts = engine.facts
        for note in facts.notes:
            progress.note(note)
        dialect = Dialect(api=Api(target.api), model=facts.model, cache_prompt_field=True)
        yield RunningServer(endpoint=engine.endpoint, dialect=dialect, facts=facts, obituary=engine.obituary)


def _reach(endpoint: Endpoint, target: TargetInfo) -> RunningServer:
    facts = probe_server(endpoint, target.model)
    is_llama = facts.name.startswith("llama.cpp")
    dialect = Dialect(api=Api(target.api), model=facts.model, cache_prompt_field=is_llama)
    return RunningServer(endpoint=endpoint, dialect=dialect, facts=facts, obituary=lambda: None)
