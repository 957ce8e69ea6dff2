"""`breakeven simulate` on a written profile: one JSON object, every request in a CSV, refusals in one sentence."""

import csv
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from planner.commands.model import register
from planner.errors import InputError
from planner.profile import dump_profile
from planner.steptime.reference import reference_profile


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "profile.json"
    path.write_bytes(dump_profile(reference_profile("llama-3.1-70b/h100_sxm/fp8/vllm/tp4")))
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    rows = "".join(f"{k * 0.5},{500 + k},{20 + k}\n" for k in range(40)) + "20,9000,500\n"
    path.write_text("timestamp,input_tokens,output_tokens\n" + rows)
    return path


def _app() -> typer.Typer:
    app = typer.Typer()
    register(app)
    return app


def test_a_simulation_as_json_and_csv(profile: Path, log: Path, tmp_path: Path) -> None:
    requests = tmp_path / "requests.csv"
    arguments = ["simulate", str(profile.parent), str(log), "--replicas", "2", "--routing", "least-loaded", "--json"]
    result = CliRunner().invoke(_app(), [*arguments, "--ttft", "1", "--rate", "4", "--requests", str(requests)])
    value = json.loads(result.stdout)
    assert (value["replicas"], value["requests"], value["too_long"]) == (2, 41, 1)
    assert value["requests_per_s"] == pytest.approx(4.0)
    assert value["attainment_frac"] == pytest.approx(40 / 41)
    assert value["e2e_s"]["count"] == 40
    assert 0 < value["utilisation_frac"] < 1
    rows = list(csv.DictReader(requests.read_text().splitlines()))
    assert len(rows) == 41
    assert float(rows[0]["e2e_s"]) > float(rows[0]["ttft_s"]) > 0
    assert rows[40]["e2e_s"] == ""  # longer than the replica's context: served by nobody


def test_a_simulation_for_people(profile: Path, log: Path) -> None:
    text = CliRunner().invoke(_app(), ["simulate", str(profile), str(log), "--ttft", "1"]).stdout
    assert "41 requests at" in text
    assert "TTFT" in text
    assert "meet the SLO" in text


def test_refusals(profile: Path, log: Path, tmp_path: Path) -> None:
    for option, value in (("--rate", "-1"), ("--rate", "nan"), ("--ttft", "-3"), ("--e2e", "inf")):
        result = CliRunner().invoke(_app(), ["simulate", str(profile), str(log), option, value])
        assert result.exit_code == 2
        assert "finite number above 0" in result.output
    result = CliRunner().invoke(_app(), ["simulate", str(tmp_path / "none.json"), str(log)])
    assert isinstance(result.exception, InputError)
    result = CliRunner().invoke(_app(), ["simulate", str(profile), str(log), "--requests", str(tmp_path / "no/x.csv")])
    assert isinstance(result.exception, InputError)


def _simulated(*arguments: str) -> dict[str, object]:
    result = CliRunner().invoke(_app(), ["simulate", *arguments, "--json"])
    assert result.exit_code == 0, result.output
    value: dict[str, object] = json.loads(result.stdout)
    return value


def test_overflow_is_what_leaves_and_counts_as_met(profile: Path, log: Path, tmp_path: Path) -> None:
    """Far too fast for one replica and half a second to the first token: some leave, and with them most are met."""
    requests = tmp_path / "requests.csv"
    asked = (str(profile), str(log), "--rate", "200", "--ttft", "0.5", "--api-ttft", "0.1")
    alone, with_api = _simulated(*asked), _simulated(*asked, "--overflow", "--requests", str(requests))
    assert alone["overflow_frac"] is None
    away = with_api["overflow_frac"]
    assert isinstance(away, float)
    assert 0 < away < 1
    assert with_api["attainment_frac"] > alone["attainment_frac"]  # type: ignore[operator]
    outcomes = [row["outcome"] for row in csv.DictReader(requests.read_text().splitlines())]
    assert outcomes.count("served") == round(41 * (1 - away))
    assert outcomes[40] == "too long"
    refused = CliRunner().invoke(_app(), ["simulate", str(profile), str(log), "--overflow"])
    assert "by when" in str(refused.exception)


def test_prefix_aware_routing_computes_less_of_two_long_conversations(profile: Path, tmp_path: Path) -> None:
    """Two conversations whose turns come in the order A B B A: in turn both replicas see both."""
    log = tmp_path / "turns.jsonl"
    rows, seen = [], {"A": 0, "B": 0}
    for k, who in enumerate("ABBAABBA"):
        seen[who] += 1
        hashes = [ord(who) * 100 + block for block in range(seen[who])]
        rows.append({"timestamp": 5000 * k, "input_length": 512 * seen[who], "output_length": 5, "hash_ids": hashes})
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    cached = {
        routing: _simulated(str(profile), str(log), "--replicas", "2", "--routing", routing)["cached_input_frac"]
        for routing in ("round-robin", "prefix-aware")
    }
    # 2 * (1 + 2 + 3 + 4) blocks in all, 2 * (0 + 1 + 2 + 3) of them seen before
    assert cached["prefix-aware"] == pytest.approx(0.6)
    assert cached["round-robin"] < 0.6  # type: ignore[operator]
    refused = CliRunner().invoke(
        _app(), ["simulate", str(profile), str(log), "--routing", "prefix-aware", "--cached", "0.5"]
    )
    assert "prefix hashes" in str(refused.exception)
