"""Every bad input ends in one clear sentence with a way out and a non-zero exit code: never a traceback."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest


def breakeven(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "measure.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300)


def complaint(done: subprocess.CompletedProcess[str], exit_code: int) -> str:
    """The error sentence, with what holds for every complaint checked."""
    assert done.returncode == exit_code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    said = re.sub(r"\s+", " ", done.stderr)
    assert "breakeven: " in said
    return said.rsplit("breakeven: ", 1)[1]


def test_missing_model_file(tmp_path: Path) -> None:
    said = complaint(breakeven("measure", "--gguf", "no.gguf", "--out", tmp_path / "run", cwd=tmp_path), 2)
    assert "no.gguf" in said


def test_model_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"this is no model")
    done = breakeven("measure", "--gguf", "m.gguf", "--out", tmp_path / "run", cwd=tmp_path)
    assert done.returncode in (2, 3), done.stderr
    assert "m.gguf" in complaint(done, done.returncode)


@pytest.mark.engine
def test_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = breakeven("measure", "--synthetic", "Tiny-1M", "--port", str(port), "--json", cwd=tmp_path)
    assert f"port {port}" in complaint(done, done.returncode).lower()
    assert done.returncode in (2, 3)


def test_dashboard_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = complaint(breakeven("app", "--port", str(port), cwd=tmp_path), 2)
    assert f"port {port} is in use" in said
    assert "--port" in said


def test_dashboard_on_a_plan_that_is_not_there(tmp_path: Path) -> None:
    assert "nowhere" in complaint(breakeven("app", "nowhere", cwd=tmp_path), 2)


def test_server_that_is_not_there(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = breakeven("measure", "--endpoint", f"http://127.0.0.1:{port}", "--out", tmp_path / "run", cwd=tmp_path)
    assert str(port) in complaint(done, 3)


@pytest.mark.parametrize("command", ["workload", "demo"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param("", "", id="empty"),
        pytest.param("TIMESTAMP,ContextTokens,GeneratedTokens\n", "", id="header only"),
        pytest.param(
            "TIMESTAMP,ContextTokens,GeneratedTokens\n"
            "2023-11-16 18:17:03.9799600,4808,10\n"
            "2023-11-16 18:17:04.0319600,many,8\n"
            "2023-11-16 18:17:05.0781490,110,27\n",
            "log.csv:3: the input tokens are no number",
            id="broken row",
        ),
    ],
)
def test_unusable_log(tmp_path: Path, command: str, content: str, says: str) -> None:
    (tmp_path / "log.csv").write_text(content)
    arguments = ["workload", "log.csv"] if command == "workload" else ["demo", "--log", "log.csv"]
    done = breakeven(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "log.csv" in done.stderr.replace("\n", "")
    assert says in re.sub(r"\s+", " ", done.stderr)


def test_log_that_is_missing(tmp_path: Path) -> None:
    assert "nowhere.csv" in complaint(breakeven("workload", "nowhere.csv", cwd=tmp_path), 2)


def test_unknown_api_model(tmp_path: Path, repository: Path) -> None:
    scenario = (repository / "examples" / "scenario.toml").read_text()
    changed = scenario.replace('"openai/gpt-6-luna"', '"openai/gpt-6-lunar"')
    assert changed != scenario
    for name in ("azure_code_2023.csv", "profile.json"):
        (tmp_path / name).symlink_to(repository / "examples" / name)
    (tmp_path / "scenario.toml").write_text(changed)
    said = complaint(breakeven("plan", tmp_path, cwd=tmp_path), 4)
    assert "gpt-6-lunar" in said
    assert "gpt-6-luna" in said.replace("gpt-6-lunar", "")
    assert not (tmp_path / "plan").exists()


def test_mistakes_in_a_scenario_are_listed_together_with_their_places(tmp_path: Path, repository: Path) -> None:
    scenario = (repository / "examples" / "scenario.toml").read_text()
    scenario = scenario.replace("horizon_months = 36", "horizon_months = 0").replace("mid = 12\n", "mid = 99\n")
    (tmp_path / "scenario.toml").write_text(scenario)
    said = complaint(breakeven("plan", tmp_path, cwd=tmp_path), 2)
    assert "horizon_months" in said
    assert "replicas_per_machine" in said
    assert len(re.findall(r"line \d+", said)) >= 2


@pytest.mark.engine
def test_engine_that_dies_during_a_level_keeps_what_was_measured(tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = ["--synthetic", "Tiny-1M", "--concurrency", "1,2,4", "--input-tokens", "32", "--output-tokens", "16"]
    command = [
        sys.executable,
        "-m",
        "measure.cli",
        "measure",
        *arguments,
        "--duration",
        "4",
        "--busy-ok",
        "--out",
        str(run),
    ]
    agent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        levels = run / "levels.jsonl"
        while not levels.exists() or levels.read_text().count("\n") < 2:
            assert agent.poll() is None, agent.stderr and agent.stderr.read()
        engine = [p for p in psutil.Process(agent.pid).children() if "measure.embedded" in " ".join(p.cmdline())]
        assert len(engine) == 1
        engine[0].kill()
        stdout, stderr = agent.communicate(timeout=60)
    finally:
        agent.kill()
    assert agent.returncode == 3, stderr
    assert "Traceback" not in stderr
    assert stdout == ""
    assert "--resume" in stderr
    kept = (run / "requests.jsonl").read_text().count("\n")
    assert kept > 0

    resumed = breakeven("measure", "--resume", run, "--json", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert (run / "requests.jsonl").read_text().count("\n") > kept
    names = [line for line in levels.read_text().splitlines() if '"closed-' in line]
    assert len(names) == len(set(names))
