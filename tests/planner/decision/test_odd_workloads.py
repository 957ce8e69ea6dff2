"""Loads at the edge of sense, end to end through the command line: a right answer or one clear sentence."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from planner.commands import model
from planner.commands import workload as workload_command
from planner.errors import InputError
from planner.profile import dump_profile
from planner.steptime.reference import reference_profile

HEADER = "timestamp,input_tokens,output_tokens\n"


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "profile.json"
    path.write_bytes(dump_profile(reference_profile("llama-3.1-70b/h100_sxm/fp8/vllm/tp4")))
    return path


def _log(folder: Path, rows: str) -> Path:
    path = folder / "log.csv"
    path.write_text(HEADER + rows)
    return path


def _invoke(*arguments: object) -> object:
    app = typer.Typer()
    model.register(app)
    workload_command.register(app)
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    return result.exception if result.exception else json.loads(result.stdout)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("", r"holds no usable request \(it is empty\)"),
        ("1,10,5\n", r"1 request\(s\) at one instant, which is no rate"),
        ("1,10,5\n1,20,5\n", r"2 request\(s\) at one instant"),
        ("1,0,5\n2,0,5\n", "input tokens must be a whole number from 1"),
    ],
)
@pytest.mark.parametrize("command", ["workload", "simulate"])
def test_no_request_or_one(profile: Path, tmp_path: Path, rows: str, sentence: str, command: str) -> None:
    log = _log(tmp_path, rows)
    found = _invoke("workload", log, "--json") if command == "workload" else _invoke("simulate", profile, log, "--json")
    assert isinstance(found, InputError)
    assert str(found).count("\n") == 0
    with pytest.raises(InputError, match=sentence):
        raise found


def test_prompts_without_output(profile: Path, tmp_path: Path) -> None:
    """One token ends each request: a TTFT, no TPOT, and E2E is TTFT."""
    found = _invoke("simulate", profile, _log(tmp_path, "".join(f"{k},1000,0\n" for k in range(20))), "--json")
    assert isinstance(found, dict)
    assert found["tpot_s"] is None
    assert found["e2e_s"] == found["ttft_s"]
    assert found["ttft_s"]["count"] == 20


def test_output_from_almost_nothing(profile: Path, tmp_path: Path) -> None:
    found = _invoke("simulate", profile, _log(tmp_path, "".join(f"{k},1,500\n" for k in range(20))), "--json")
    assert isinstance(found, dict)
    assert found["e2e_s"]["mean"] == pytest.approx(found["ttft_s"]["mean"] + 499 * found["tpot_s"]["mean"])


def test_every_request_is_too_long(profile: Path, tmp_path: Path) -> None:
    log = _log(tmp_path, "".join(f"{k},900000,10\n" for k in range(5)))
    found = _invoke("simulate", profile, log, "--ttft", 5, "--json")
    assert isinstance(found, dict)
    assert (found["too_long"], found["ttft_s"], found["attainment_frac"], found["utilisation_frac"]) == (5, None, 0, 0)
    spilled = _invoke("simulate", profile, log, "--ttft", 5, "--overflow", "--json")
    assert isinstance(spilled, dict)
    assert (spilled["overflow_frac"], spilled["attainment_frac"]) == (1, 1)


def test_order_does_not_matter(profile: Path, tmp_path: Path) -> None:
    rows = [f"{k * 0.3},{100 + 37 * k},{10 + k}\n" for k in range(30)]
    in_order = _invoke("simulate", profile, _log(tmp_path, "".join(rows)), "--json")
    backwards = _invoke("simulate", profile, _log(tmp_path, "".join(reversed(rows))), "--json")
    assert in_order == backwards
