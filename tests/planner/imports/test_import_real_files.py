"""Files that guidellm, aiperf, servebench and llama.cpp's benches really wrote, against figures worked from them here.

What wrote them, how and when stands in `data/imports/README.md`.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from measure.cli import app
from planner.imports.build import Imported, import_results
from planner.imports.document import read_document
from planner.imports.record import ToolLevel
from planner.imports.registry import read_results
from planner.profile import dump_profile, load_profile

DATA = Path(__file__).parent / "data"
SHAPES = ("192-16", "48-48", "16-128")
TRUE_TTFT_S, TRUE_GAP_S, TOKENS = 0.020, 0.005, 20  # the schedule of the server behind the `mock` files


def read(*names: str) -> Imported:
    return import_results({name: (DATA / name).read_bytes() for name in names})


def level_of(name: str) -> ToolLevel:
    (result,) = read_results(read_document(name, (DATA / name).read_bytes()))
    (level,) = result.levels
    return level


def check_against_the_server(level: ToolLevel) -> None:
    """TTFT can only be late, token gaps and lengths are the server's, four streams held give at most 4 / E2E."""
    assert level.ttft_s is not None
    assert level.tpot_s is not None
    assert level.e2e_s is not None
    assert level.output_tokens is not None
    assert level.requests_per_s is not None
    assert level.ttft_s.mean > TRUE_TTFT_S
    assert level.tpot_s.mean == pytest.approx(TRUE_GAP_S, rel=0.05)
    assert level.output_tokens.mean == TOKENS
    assert level.e2e_s.mean == pytest.approx(level.ttft_s.mean + (TOKENS - 1) * level.tpot_s.mean, rel=0.01)
    assert level.concurrency == pytest.approx(4.0, rel=0.06)
    assert level.requests_per_s <= 1.01 * 4 / (TRUE_TTFT_S + (TOKENS - 1) * TRUE_GAP_S)


def test_guidellm_rates_come_from_its_requests_and_not_from_its_summary() -> None:
    level = level_of("guidellm-mock.json")
    check_against_the_server(level)
    (benchmark,) = json.loads((DATA / "guidellm-mock.json").read_bytes())["benchmarks"]
    stated = benchmark["metrics"]["requests_per_second"]["successful"]["mean"]
    times = [r["info"]["timings"] for r in benchmark["requests"]["successful"]]
    from_s, to_s = min(t["request_end"] for t in times), level.window_s
    assert to_s is not None
    ended = sum(1 for t in times if from_s < t["request_end"] <= from_s + to_s)
    assert level.requests_per_s == pytest.approx(ended / to_s, abs=4 / to_s)  # counted whole, give or take one a stream
    assert stated < level.requests_per_s
    later = [t for t in times if t["request_start"] >= from_s]
    cut = [r["info"]["timings"] for r in benchmark["requests"]["incomplete"] or []]
    begun = [t for t in cut if t["first_token_iteration"] and from_s <= t["request_start"]]
    by_hand = np.mean([t["first_token_iteration"] - t["request_start"] for t in (*later, *begun)])
    assert level.ttft_s is not None
    assert level.ttft_s.mean == pytest.approx(by_hand)


def test_guidellm_csv_says_what_its_json_states() -> None:
    (csv,) = read_results(read_document("guidellm-mock.csv", (DATA / "guidellm-mock.csv").read_bytes()))
    (benchmark,) = json.loads((DATA / "guidellm-mock.json").read_bytes())["benchmarks"]
    (level,) = csv.levels
    metrics = benchmark["metrics"]
    assert (csv.tool_version, csv.subject.model) == ("0.8.1", "mock")
    assert level.ttft_s is not None
    assert level.ttft_s.mean == pytest.approx(metrics["time_to_first_token_ms"]["successful"]["mean"] / 1000)
    assert level.requests_per_s == pytest.approx(metrics["requests_per_second"]["successful"]["mean"])
    both = read("guidellm-mock.csv", "guidellm-mock.json")
    assert [source.file for source in both.files] == ["guidellm-mock.json"]


def test_guidellm_poisson_is_an_open_loop_with_a_warning() -> None:
    imported = read("guidellm-poisson.json")
    (level,) = imported.levels
    assert (level.mode, level.target) == ("open", 20.0)
    assert any("repeat every gap" in note for note in imported.notes)


def test_aiperf_requests_are_read_under_the_settings_of_its_summary() -> None:
    imported = read("aiperf-mock-4/profile_export_aiperf.json", "aiperf-mock-4/profile_export.jsonl")
    (level,) = imported.levels
    summary = json.loads((DATA / "aiperf-mock-4" / "profile_export_aiperf.json").read_bytes())
    assert (level.mode, level.target, imported.files[0].tool_version) == ("closed", 4.0, "0.13.0")
    check_against_the_server(level_of("aiperf-mock-4/profile_export.jsonl"))
    rows = [json.loads(line) for line in (DATA / "aiperf-mock-4" / "profile_export.jsonl").read_text().splitlines()]
    good = [row for row in rows if not row["error"] and not row["metadata"]["was_cancelled"]]
    first_end = min(row["metadata"]["request_end_ns"] for row in good)
    steady = [row for row in good if row["metadata"]["request_start_ns"] >= first_end]
    by_hand_ms = np.mean([row["metrics"]["time_to_first_token"]["value"] for row in steady])
    assert level.ttft_s is not None
    assert level.ttft_s.mean == pytest.approx(by_hand_ms / 1000)
    alone = level_of("aiperf-mock-4/profile_export_aiperf.json")
    assert alone.requests_per_s == summary["request_throughput"]["avg"]
    assert alone.ttft_s is not None
    assert alone.ttft_s.p95 == pytest.approx(summary["time_to_first_token"]["p95"] / 1000)


def test_servebench() -> None:
    level = level_of("servebench-mock.json")
    check_against_the_server(level)
    assert level.itl_s is not None
    assert level.itl_s.p50 == pytest.approx(TRUE_GAP_S, rel=0.1)
    (result,) = read_results(read_document("servebench-mock.json", (DATA / "servebench-mock.json").read_bytes()))
    assert (result.tool_version, result.subject.model) == ("1.1.3", "mock")


def sweep(tool: str) -> list[str]:
    """The files of one sweep on a llama.cpp server: three shapes at 1 and 4 in flight."""
    if tool == "aiperf":
        folders = [f"aiperf-{shape}-{streams}" for shape in SHAPES for streams in (1, 4)]
        return [
            f"{folder}/{name}" for folder in folders for name in ("profile_export_aiperf.json", "profile_export.jsonl")
        ]
    return [f"{tool}-{shape}.json" for shape in SHAPES]


def test_servebench_loses_half_of_its_requests_to_connections_that_llama_cpp_closes() -> None:
    """The server closes a kept connection after an answer, servebench sends on it and counts a failure."""
    imported = read(*sweep("servebench"))
    assert imported.not_plannable is not None
    assert "0 of 6 levels can be used" in imported.not_plannable
    for level in imported.levels:
        assert level.e2e_s is not None
        assert sum(level.failures.values()) / (level.e2e_s.count + sum(level.failures.values())) > 0.4
    assert any("closed as failed" in note for note in imported.notes)


@pytest.mark.parametrize("tool", ["guidellm", "aiperf"])
def test_a_sweep_over_three_shapes_becomes_a_profile_that_can_be_read_back(tool: str, tmp_path: Path) -> None:
    imported = read(*sweep(tool))
    assert imported.not_plannable is None
    assert imported.profile is not None
    assert imported.profile.fit.points == 6
    assert [level.target for level in imported.levels] == [1.0, 4.0] * 3
    assert imported.profile.fit.hull.max_input_output_ratio > 8 * imported.profile.fit.hull.min_input_output_ratio
    assert imported.profile.provenance.model == "Tiny-1M-synthetic"
    assert len(imported.profile.provenance.files) == (6 if tool == "aiperf" else 3)
    (tmp_path / "profile.json").write_bytes(dump_profile(imported.profile))
    assert load_profile(tmp_path / "profile.json") == imported.profile


def test_tools_measured_the_same_server_alike() -> None:
    """Mean TPOT of each shape and load within a factor of two: not exact, for the machine had other work."""
    tpots: dict[tuple[int, float], list[float]] = {}
    for tool in ("guidellm", "aiperf"):
        for number, level in enumerate(read(*sweep(tool)).levels):
            assert level.tpot_s is not None
            tpots.setdefault((number // 2, level.target), []).append(level.tpot_s.mean)
    assert len(tpots) == 6
    for values in tpots.values():
        assert max(values) < 2 * min(values)


def test_the_command_writes_a_profile_from_a_directory_and_leaves_foreign_files_alone(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    for name in sweep("guidellm"):
        (results / name).write_bytes((DATA / name).read_bytes())
    (results / "notes.json").write_text('{"by": "me"}')
    done = CliRunner().invoke(app, ["profile", str(results), "--slots", "4", "--out", str(tmp_path / "p"), "--json"])
    assert done.exit_code == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    assert said["not_plannable"] is None
    profile = load_profile(Path(said["profile"]))
    assert (profile.limits.scheduler, profile.limits.max_sequences) == ("slots", 4)
    assert "notes.json" in said["notes"][-1]


def test_what_can_only_be_shown_is_shown_with_the_reason() -> None:
    done = CliRunner().invoke(app, ["profile", str(DATA / "guidellm-mock.json"), "--json"])
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["profile"] is None
    assert said["not_plannable"].startswith("this can only be shown: 1 of 1 levels can be used, at one load")
    assert said["levels"][0]["target"] == 4.0
