"""How a measuring command ends for real: Ctrl-C, a reader that went away, options that do not go together, no room."""

import json
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from measure.architectures import find_architecture
from measure.cli import app
from measure.quant import Quant
from measure.synthetic import write_synthetic_gguf

COMMAND = [sys.executable, "-m", "measure.cli", "measure"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    write_synthetic_gguf(path, find_architecture("Tiny-1M"), Quant.Q8_0, seed=0)
    return path


def arguments(model: Path, run: Path, duration_s: float) -> list[str]:
    fixed = ["--slots", "2", "--context-tokens", "512", "--input-tokens", "32", "--output-tokens", "16", "--busy-ok"]
    return ["--gguf", str(model), "--out", str(run), "--concurrency", "1,2", "--duration", str(duration_s), *fixed]


@pytest.mark.engine
def test_ctrl_c_ends_with_130_and_says_what_is_kept_and_a_resume_and_a_pack_follow(model: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    agent = subprocess.Popen(
        [*COMMAND, *arguments(model, run, 30.0)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    requests = run / "requests.jsonl"
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and not (requests.exists() and requests.stat().st_size > 3_000):
        assert agent.poll() is None, agent.stderr and agent.stderr.read()
        time.sleep(0.05)
    children = psutil.Process(agent.pid).children(recursive=True)
    agent.send_signal(signal.SIGINT)
    stdout, stderr = agent.communicate(timeout=60)
    said = " ".join(stderr.split())
    assert agent.returncode == 130, stderr
    assert stdout == ""
    assert "Traceback" not in stderr
    assert "kept in" in said
    assert "--resume" in said
    assert said.endswith("breakeven: interrupted")
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []

    info = json.loads((run / "run.json").read_text())
    info["plan"]["level_s"] = 2.0  # what is left to do needs no more
    (run / "run.json").write_text(json.dumps(info))
    resumed = subprocess.run(
        [*COMMAND, "--resume", str(run), "--pack", "--json"], capture_output=True, text=True, timeout=200
    )
    assert resumed.returncode == 0, resumed.stderr
    assert [level["target"] for level in json.loads(resumed.stdout)["levels"]][-2:] == [1, 2]
    with tarfile.open(tmp_path / "run.tar.gz") as archive:
        assert {"run/run.json", "run/requests.jsonl", "run/profile.json"} <= set(archive.getnames())


@pytest.mark.engine
def test_a_reader_that_goes_away_ends_the_command_without_a_traceback(model: Path, tmp_path: Path) -> None:
    line = f"{' '.join([*COMMAND, *arguments(model, tmp_path / 'run', 2.0)])} 2>&1 | head -n 1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=200)
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--endpoint", "http://127.0.0.1:9", "--slots", "4"], "--slots cannot be given with --endpoint"),
        (["--endpoint", "http://127.0.0.1:9", "--port", "4000"], "--port cannot be given with --endpoint"),
        (["--gguf", "m.gguf", "--model", "m"], "--model cannot be given without --endpoint"),
        (["--gguf", "m.gguf", "--launch", "true"], "--launch needs --endpoint"),
        (["--gguf", "m.gguf", "--auto", "--concurrency", "1", "--rate", "2"], "--concurrency, --rate cannot be given"),
        (["--gguf", "m.gguf", "--burstiness", "0.5"], "--burstiness cannot be given without --rate"),
        (["--resume", "r", "--auto"], "--auto cannot be given with --resume"),
        (["--resume", "r", "--gguf", "m.gguf", "--out", "o"], "--gguf, --out cannot be given with --resume"),
    ],
)
def test_options_that_do_not_go_together_are_refused(given: list[str], words: str) -> None:
    done = CliRunner().invoke(app, ["measure", *given])
    assert done.exit_code != 0
    assert words in str(done.exception)


@pytest.mark.engine
def test_a_profile_that_cannot_be_written_is_one_sentence(model: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    measured = subprocess.run([*COMMAND, *arguments(model, run, 2.0)], capture_output=True, text=True, timeout=200)
    assert measured.returncode == 0, measured.stderr
    (run / "profile.json").unlink()
    (run / "profile.json").mkdir()  # not even root can write over a directory
    again = subprocess.run(
        [sys.executable, "-m", "measure.cli", "profile", str(run)], capture_output=True, text=True, timeout=60
    )
    assert again.returncode == 2
    assert "Traceback" not in again.stderr
    assert "cannot be written" in again.stderr
