"""Named workloads keep their bounds and come close to their stated means; the command writes a log others can read."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from planner.commands.workload import register
from planner.errors import InputError
from planner.traces.presets import list_presets, preset_workload
from planner.traces.request_log import read_log


def test_all_seven_are_there_with_their_reasons() -> None:
    presets = {p.name: p for p in list_presets()}
    assert len(presets) == 7
    assert presets["interactive-chat"].slos["ttft_p99_ms"] == 1000
    assert "Nielsen" in str(presets["interactive-chat"].slos["ttft_p99_ms_justification"])


@pytest.mark.parametrize(
    ("name", "low", "high", "mean"),
    [
        ("interactive-chat", 500, 15_000, 4_000),  # log-normal
        ("batch-summarization-rag", 1_000, 80_000, 15_000),  # bimodal
        ("deep-research", 2_000, 150_000, 45_000),  # exponential
    ],
)
def test_prompts_keep_bounds_and_come_close_to_the_mean(name: str, low: int, high: int, mean: float) -> None:
    workload = preset_workload(name, requests=20_000, requests_per_s=5.0, seed=3)
    assert low <= workload.input_tokens.min() <= workload.input_tokens.max() <= high
    assert workload.input_tokens.mean() == pytest.approx(mean, rel=0.12)
    assert workload.requests_per_s == pytest.approx(5.0, rel=0.03)


def test_two_lumps_are_two_lumps() -> None:
    prompts = preset_workload("batch-summarization-rag", requests=20_000, requests_per_s=1.0, seed=3).input_tokens
    middle = ((prompts > 40_000) & (prompts < 60_000)).mean()
    assert (prompts < 5_000).mean() > middle
    assert (prompts > 60_000).mean() > middle


def test_the_command_writes_a_log(tmp_path: Path) -> None:
    app = typer.Typer()
    register(app)
    path = tmp_path / "chat.csv"
    arguments = ["preset:interactive-chat", "--rate", "4", "--requests", "500", "--out", str(path)]
    value = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert value["requests"] == 500
    assert read_log(path)[0].requests_per_s == pytest.approx(4.0, rel=0.15)
    first = path.read_bytes()
    CliRunner().invoke(app, arguments)
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["preset:nothing", "--out", "x.csv"], "no preset 'nothing'; there are agentic-trace-replay"),
        (["preset:reasoning"], "--out"),
        (["preset:reasoning", "--out", "x.csv", "--rate", "0"], "a rate above 0"),
    ],
)
def test_refusals(arguments: list[str], sentence: str) -> None:
    app = typer.Typer()
    register(app)
    result = CliRunner().invoke(app, [*arguments])
    assert isinstance(result.exception, InputError)
    assert sentence in str(result.exception)
