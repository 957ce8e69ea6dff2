"""Whole measurements on the real engine with a model of a million random weights."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from measure.architectures import find_architecture
from measure.engine import EngineOptions, RunningEngine, embedded_engine
from measure.progress import LevelProgress
from measure.quant import Quant
from measure.run_info import Plan, PlannedLevel, Shape, TargetInfo
from measure.rundir import RunDirectory
from measure.session import resume_measurement, run_measurement, write_profile
from measure.sweep import QUICK_PLAN
from measure.synthetic import write_synthetic_gguf
from planner.errors import EngineError, InputError
from planner.profile import LevelSummary, Scheduler, load_profile

pytestmark = pytest.mark.engine
SLOTS, CONTEXT = 4, 1024


class Watcher:
    """Progress that a test can act on."""

    def __init__(self, kill_in: str | None = None, interrupt_in: str | None = None) -> None:
        self.notes: list[str] = []
        self.levels: list[str] = []
        self._kill_in = kill_in
        self._interrupt_in = interrupt_in

    def note(self, text: str) -> None:
        self.notes.append(text)

    def level(self, progress: LevelProgress) -> None:
        if progress.level == self._interrupt_in:
            self._interrupt_in = None
            os.kill(os.getpid(), signal.SIGINT)
        if progress.level == self._kill_in:
            self._kill_in = None
            for child in psutil.Process().children():
                if "measure.embedded" in child.cmdline():
                    child.send_signal(signal.SIGKILL)

    def finished(self, level: str, summary: LevelSummary) -> None:
        self.levels.append(level)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    write_synthetic_gguf(path, find_architecture("Tiny-1M"), Quant.Q8_0, seed=0)
    return path


def target(model: Path) -> TargetInfo:
    return TargetInfo(kind="gguf", location=str(model), slots=SLOTS, context_tokens=CONTEXT)


SHAPES = (
    Shape(name="prompt-heavy", input_tokens=256, output_tokens=16),
    Shape(name="balanced", input_tokens=64, output_tokens=64),
)
PLAN = Plan(
    name=QUICK_PLAN,
    budget_s=None,
    level_s=1.2,
    idle_s=0.2,
    ladder_input_tokens=(32, 128),
    longest_input_tokens=700,
    ladder_output_tokens=8,
    levels=tuple(PlannedLevel(shape=shape, concurrency=n) for n in (1, 2) for shape in SHAPES),
)


def test_a_model_file_becomes_a_profile(model: Path, tmp_path: Path) -> None:
    profile = run_measurement(target(model), PLAN, tmp_path / "run", seed=1, progress=Watcher())
    assert profile.provenance.is_synthetic
    assert "random weights" in profile.provenance.model
    assert profile.limits.scheduler is Scheduler.SLOTS
    assert (profile.limits.max_sequences, profile.limits.kv_capacity_tokens) == (SLOTS, SLOTS * CONTEXT)
    # 2 layers x 2 heads x 2 x 32 x 2 bytes
    assert profile.memory.kv_bytes_per_token == 512
    assert profile.memory.weights_file_gib == pytest.approx(model.stat().st_size / 2**30)
    assert profile.memory.peak_gib is not None
    assert profile.load_time_s is not None
    assert profile.power is not None or profile.missing["power"]
    run = RunDirectory(tmp_path / "run")
    requests = list(run.read_requests())
    levels = [level for level in run.read_levels() if level.spec.shape != "warm-up"]
    assert len(levels) == len(profile.levels) == 7
    done = [r for r in requests if r.outcome == "ok"]
    assert all(r.token_source == "usage" and r.output_tokens == r.requested_output_tokens for r in done)
    assert all(not r.cached_tokens for r in done)
    ladder = [r.input_tokens for r in done if r.level == "ladder-128"]
    assert all(n is not None and abs(n - 128) <= 20 for n in ladder)  # a vocabulary this small splits words
    again, dropped = write_profile(tmp_path / "run")
    assert again == profile == load_profile(tmp_path / "run" / "profile.json")
    assert dropped == []


def test_an_engine_that_dies_in_a_level_leaves_a_run_that_can_be_resumed(model: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(EngineError) as caught:
        run_measurement(target(model), PLAN, run, seed=1, progress=Watcher(kill_in="closed-balanced-1"))
    words = str(caught.value)
    assert "level closed-balanced-1: the embedded engine ended by signal SIGKILL" in words
    assert f"--resume {run}" in words
    before = [level.spec.level for level in RunDirectory(run).read_levels()]
    assert before == ["warm-up-1", "ladder-32", "ladder-128", "ladder-700", "closed-prompt-heavy-1"]
    watcher = Watcher()
    profile = resume_measurement(run, progress=watcher)
    assert watcher.levels == ["warm-up-2", "closed-balanced-1", "closed-prompt-heavy-2", "closed-balanced-2"]
    assert len(profile.levels) == 7


def test_an_interrupt_says_where_the_records_are(model: Path, tmp_path: Path) -> None:
    watcher = Watcher(interrupt_in="closed-balanced-1")
    with pytest.raises(KeyboardInterrupt):
        run_measurement(target(model), PLAN, tmp_path / "run", seed=1, progress=watcher)
    assert watcher.notes[-1] == (
        f"kept in {tmp_path / 'run'}; continue with: breakeven measure --resume {tmp_path / 'run'}"
    )


def test_a_killed_run_keeps_its_records_and_leaves_no_engine_behind(model: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "measure.cli", "measure", "--gguf", str(model), "--out", str(run), "--busy-ok"]
    command += ["--slots", "2"]
    command += [
        "--context-tokens",
        "1024",
        "--input-tokens",
        "64",
        "--output-tokens",
        "16",
        "--concurrency",
        "1,2",
        "--duration",
        "5",
    ]
    code = "import sys; from measure.cli import main; sys.argv = sys.argv[1:]; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *command[2:]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    requests = run / "requests.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (requests.exists() and requests.stat().st_size > 5_000):
        time.sleep(0.1)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(children) == 2  # the engine and the telemetry
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    kept = list(RunDirectory(run).read_requests())
    assert len(kept) > 5
    profile = resume_measurement(run, progress=Watcher())
    assert {level.target for level in profile.levels} == {1, 2}
    assert json.loads((run / "run.json").read_text())["sessions"][-1]["session"] == 2


def test_a_directory_that_holds_a_run_is_not_overwritten(model: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputError, match="--resume"):
        run_measurement(target(model), PLAN, tmp_path, seed=1, progress=Watcher())


def test_a_start_that_failed_leaves_the_directory_free(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model file"):
        run_measurement(target(tmp_path / "nothing.gguf"), PLAN, tmp_path, seed=1, progress=Watcher())
    assert not RunDirectory(tmp_path).exists()


def test_engine_refusals_are_one_sentence(model: Path, tmp_path: Path) -> None:
    def start(**options: object) -> None:
        with embedded_engine(EngineOptions(**({"model": model, "context_tokens": 256} | options)), tmp_path):  # type: ignore[arg-type]
            raise AssertionError("it started")

    with pytest.raises(InputError, match="no model file"):
        start(model=tmp_path / "nothing.gguf")
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(model.read_bytes()[:-200_000])
    with pytest.raises(EngineError, match=r"ended with exit code 1 while loading .*cut\.gguf"):
        start(model=cut)
    with embedded_engine(EngineOptions(model=model, context_tokens=256), tmp_path) as engine:
        with pytest.raises(EngineError, match=f"port {engine.endpoint.port} .*Address already in use"):
            start(port=engine.endpoint.port)
        assert engine.obituary() is None
    _assert_gone(engine)


def _assert_gone(engine: RunningEngine) -> None:
    assert engine.process.poll() is not None
    assert "ended" in (engine.obituary() or "")
    with pytest.raises(ProcessLookupError):
        os.kill(engine.process.pid, 0)
