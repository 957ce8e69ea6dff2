"""The probe and a short measurement on real servers: llama.cpp's own, and llama-cpp-python's where it is installed."""

import importlib.util
import shlex
import socket
import sys
from pathlib import Path

import pytest

from measure.architectures import find_architecture
from measure.engine import EngineOptions, embedded_engine
from measure.progress import LevelProgress
from measure.quant import Quant
from measure.records import TokenSource
from measure.run_info import Capabilities, Plan, PlannedLevel, Shape, TargetInfo
from measure.rundir import RunDirectory
from measure.server import running_server
from measure.session import run_measurement
from measure.sweep import QUICK_PLAN
from measure.synthetic import write_synthetic_gguf
from planner.profile import LevelSummary

pytestmark = pytest.mark.engine
SLOTS, CONTEXT = 4, 512


class Silent:
    def note(self, text: str) -> None: ...
    def level(self, progress: LevelProgress) -> None: ...
    def finished(self, level: str, summary: LevelSummary) -> None: ...


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    write_synthetic_gguf(path, find_architecture("Tiny-1M"), Quant.Q8_0, seed=0)
    return path


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_a_llama_cpp_server_reached_by_its_address(model: Path, tmp_path: Path, api: str) -> None:
    with embedded_engine(EngineOptions(model=model, slots=SLOTS, context_tokens=CONTEXT), tmp_path) as engine:
        target = TargetInfo(kind="endpoint", location=engine.endpoint.url, api=api)  # type: ignore[arg-type]
        with running_server(target, tmp_path, Silent(), seed=1) as server:
            facts, dialect = server.facts, server.dialect
    found = facts.capabilities
    assert isinstance(found, Capabilities)
    assert (facts.name, facts.slots) == ("llama.cpp server", SLOTS)
    assert facts.context_tokens == SLOTS * CONTEXT  # one cache for all slots: a request may have as much as all of it
    assert (found.api, found.streams_usage, found.input_tokens_known) == (api, True, True)
    assert (found.tokenize_path, found.metrics_path) == ("/tokenize", "/metrics")
    assert found.tokens_per_chunk is not None
    assert 1.0 <= found.tokens_per_chunk < 1.5  # half a character has to wait for its other half
    assert found.refused_fields == ()
    assert dialect.cache_prompt_field
    assert server.counter is None


@pytest.mark.skipif(importlib.util.find_spec("llama_cpp") is None, reason="llama-cpp-python[server] is not installed")
def test_llama_cpp_python_s_server_streams_no_usage_and_is_counted_by_its_own_tokenizer(
    model: Path, tmp_path: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(model), "--port", str(port)]
    command += ["--n_ctx", "512", "--interrupt_requests", "False"]
    shape = Shape(name="balanced", input_tokens=32, output_tokens=16)
    plan = Plan(
        name=QUICK_PLAN,
        budget_s=None,
        level_s=2.0,
        idle_s=0.2,
        ladder_input_tokens=(32,),
        longest_input_tokens=None,
        ladder_output_tokens=8,
        levels=tuple(PlannedLevel(shape=shape, concurrency=n) for n in (1, 2)),
    )
    target = TargetInfo(kind="endpoint", location=f"http://127.0.0.1:{port}", launch=shlex.join(command))
    profile = run_measurement(target, plan, tmp_path / "run", seed=1, progress=Silent())
    assert profile.limits.max_sequences == 1
    levels = RunDirectory(tmp_path / "run").read_levels()
    assert all(level.recount is not None and level.recount.source is TokenSource.TOKENIZER for level in levels)
    assert any("/extras/tokenize" in note for note in profile.provenance.notes)
