"""The scoreboard on synthetic servers of known truth, its protocol by hand, and its refusals."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from planner.commands.model import register
from planner.errors import InputError
from planner.profile import StepTime
from planner.simulator.simulate import simulate
from planner.steptime.fit import LoadPoint, predict_level
from planner.steptime.levels import UNBOUNDED, fit_levels
from planner.steptime.measurements import DEPLOYMENT_COLUMNS, read_level_table, read_request_log
from planner.steptime.request_fit import fit_requests
from planner.steptime.validate import fit_and_score_points, validate_levels, validate_requests
from planner.workload import Workload

TRUTH = StepTime(
    base_s=0.006,
    per_prefill_token_s=60e-6,
    per_sequence_s=50e-6,
    per_sqrt_sequence_s=300e-6,
    per_resident_token_s=20e-9,
    per_attention_pair_s=2e-9,
    request_overhead_s=0.004,
)
SHAPES = ((1024, 1024), (1024, 8192), (8192, 1024))


def _point(n: float, i: float, o: float, ttft_s: float = 0.1, tpot_s: float = 0.01) -> LoadPoint:
    return LoadPoint(concurrency=n, input_tokens=i, output_tokens=o, ttft_s=ttft_s, tpot_s=tpot_s)


def _level(n: int, i: int, o: int, factor: float = 1.0) -> LoadPoint:
    level = predict_level(TRUTH, UNBOUNDED, concurrency=n, input_tokens=i, output_tokens=o)
    return _point(n, i, o, level.ttft_s * factor, level.tpot_s * factor)


def _table(path: Path, points: list[LoadPoint], **extra: str) -> None:
    names = ["id", "silicon_data_source", "mode", *DEPLOYMENT_COLUMNS, "batch_size", "isl", "osl"]
    with path.open("a", newline="") as text:
        writer = csv.DictWriter(text, [*names, "silicon_ttft_ms", "silicon_tpot_ms"], restval="")
        if path.stat().st_size == 0:
            writer.writeheader()
        for number, p in enumerate(points):
            row = {
                "id": str(number),
                "silicon_data_source": f"x; silicon_concurrency={p.concurrency:g}; y",
                "mode": "agg",
                "backend": "vllm",
                "system": "machine",
                "batch_size": "1",
                "isl": p.input_tokens,
                "osl": p.output_tokens,
                "silicon_ttft_ms": repr(p.ttft_s * 1000),
                "silicon_tpot_ms": repr((p.tpot_s or 0.0) * 1000),
            }
            writer.writerow(row | extra)


def test_the_split_by_hand() -> None:
    six = [_point(n, 1024, 1024) for n in (32, 1, 2, 4, 16, 8)]
    four = [_point(n, 8192, 1024) for n in (1, 2, 4, 8)]
    fitted, scored = fit_and_score_points(six + four)
    assert sorted(p.concurrency for p in fitted if p.input_tokens == 1024) == [1, 8, 32]
    assert sorted(p.concurrency for p in fitted if p.input_tokens == 8192) == [1, 8]
    assert len(scored) == 5


def test_duplicates_other_modes_and_repeats(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.touch()
    _table(path, [_point(4, 1000, 100, ttft_s=0.1), _point(4, 1000, 100, ttft_s=0.3)])
    _table(path, [_point(4, 1000, 100, ttft_s=0.1)])  # an exact duplicate must not pull the median
    _table(path, [_point(4, 1000, 100, ttft_s=9.0)], mode="disagg")
    _table(path, [_point(8, 1000, 100)], silicon_data_source="no concurrency", batch_size="16")
    _table(path, [_point(8, 1000, 100)], silicon_ttft_ms="n/a")
    table = read_level_table(path)
    assert [p.concurrency for p in table.deployments[0].points] == [4, 16]
    assert table.deployments[0].points[0].ttft_s == pytest.approx(0.2)
    assert (table.left_out[0].line, "silicon_ttft_ms" in table.left_out[0].reason) == (7, True)


def test_two_engines_are_two_deployments(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.touch()
    _table(path, [_point(4, 1000, 100)])
    _table(path, [_point(4, 1000, 100)], backend="sglang")
    assert [d.key[0] for d in read_level_table(path).deployments] == ["sglang", "vllm"]


def test_a_server_that_follows_the_step_time_is_predicted_closely(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.touch()
    rng = np.random.default_rng(2)
    points = [_level(n, i, o, float(rng.lognormal(0, 0.01))) for i, o in SHAPES for n in (4, 8, 16, 32, 64)]
    _table(path, points)
    board = validate_levels(read_level_table(path))
    assert (board.points, board.deployments) == (6, 1)
    assert board.tpot.median_frac < 0.02
    assert board.ttft.median_frac < 0.05
    assert board.coverage_frac > 0.8


def test_a_saturated_level_does_not_bend_its_neighbours() -> None:
    """512 in flight where 256 run: the life is doubled by waiting; the level below must not inherit that."""
    points = [_level(n, i, o) for i, o in SHAPES for n in (8, 64)]
    for i, o in SHAPES:
        top = _level(512, i, o)
        life_s = top.ttft_s + (o - 1) * (top.tpot_s or 0)
        points.append(dataclasses.replace(top, ttft_s=top.ttft_s + life_s))
    model = fit_levels(points)
    expected = _level(128, 1024, 8192)
    forecast = model.forecast(concurrency=128, input_tokens=1024, output_tokens=8192)
    assert forecast.ttft_s.mid_s < 5 * expected.ttft_s
    queued = model.forecast(concurrency=512, input_tokens=1024, output_tokens=8192)
    assert queued.ttft_s.mid_s == pytest.approx(points[-2].ttft_s, rel=0.1)
    assert forecast.tpot_s.low_s < forecast.tpot_s.mid_s < forecast.tpot_s.high_s


def test_too_few_points_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.touch()
    _table(path, [_level(n, 1024, 1024) for n in (4, 8, 16)])
    with pytest.raises(InputError, match="nothing to score: of 1 deployments none has 8 points"):
        validate_levels(read_level_table(path))


def test_a_queue_longer_than_the_run_leaves_the_level_below_running() -> None:
    """One shape whose top level waits almost all its life: the level below still counts as running, not as queued."""
    points = [_point(4, 1000, 2, 0.1, 0.01), _point(8, 1000, 2, 0.12, 0.01), _point(16, 1000, 2, 90.0, 0.01)]
    forecast = fit_levels(points).forecast(concurrency=8, input_tokens=1000, output_tokens=2)
    assert forecast.ttft_s.mid_s == pytest.approx(0.12, rel=0.2)


def test_a_table_without_the_columns(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"table\.csv:1: no column isl, osl"):
        read_level_table(path)
    with pytest.raises(InputError, match=r"cannot read .*none\.csv: No such file"):
        read_level_table(tmp_path / "none.csv")


def _served_log(folder: Path, requests: int, kv_tokens: int, meta: bool = True) -> Path:
    rng = np.random.default_rng(3)
    workload = Workload(
        name="served",
        arrival_s=np.cumsum(rng.exponential(0.1, requests)),
        input_tokens=rng.integers(200, 1500, requests),
        output_tokens=rng.integers(100, 500, requests),
        span_s=requests * 0.1,
        starts_at=None,
        source="simulated",
    )
    limits = dataclasses.replace(UNBOUNDED, max_sequences=64, step_token_budget=2048, kv_capacity_tokens=kv_tokens)
    result = simulate(dataclasses.replace(TRUTH, per_attention_pair_s=0.0), limits, workload, replicas=1)
    noise = rng.lognormal(0, 0.005, requests)
    path = folder / "requests.jsonl"
    with path.open("w") as text:
        for k in range(requests):
            queued = 1000.0 + workload.arrival_s[k]
            record = {
                "request_id": f"r{k}",
                "input_toks": int(workload.input_tokens[k]),
                "output_toks": int(workload.output_tokens[k]),
                "queued_ts": queued,
                "scheduled_ts": queued + result.queue_s[k],
                "first_token_ts": queued + result.ttft_s[k],
                "last_token_ts": queued + result.e2e_s[k] * noise[k] + 1e-6,
            }
            text.write(json.dumps(record) + "\n")
    if meta:
        arguments = {"max_num_seqs": 64, "max_num_batched_tokens": 2048, "data_parallel_size": 1}
        (folder / "meta.json").write_text(json.dumps({"engine_kwargs": arguments}))
    return path


def test_single_requests_of_a_known_server(tmp_path: Path) -> None:
    log = read_request_log(_served_log(tmp_path, 160, 10**9))
    board = validate_requests(log)
    assert (board.points, board.deployments) == (100, 1)
    assert board.e2e.mean_frac < 0.03
    assert board.coverage_frac > 0.7
    assert board.notes == ()


def test_a_memory_limit_that_nobody_stated_is_found(tmp_path: Path) -> None:
    log = read_request_log(_served_log(tmp_path, 150, 20_000))
    fit = fit_requests(log, fit_count=60, seed=1)
    assert fit.limits.kv_capacity_tokens == pytest.approx(20_000, rel=0.25)


def test_the_same_seed_gives_the_same_fit(tmp_path: Path) -> None:
    log = read_request_log(_served_log(tmp_path, 15, 10**9))
    first, second = (fit_requests(log, fit_count=10, seed=4) for _ in range(2))
    assert first.posterior == second.posterior


def test_without_meta_the_limit_is_what_ran_at_once(tmp_path: Path) -> None:
    log = read_request_log(_served_log(tmp_path, 200, 10**9, meta=False))
    assert 50 <= log.limits.max_sequences <= 66  # ends are noisy, so one may seem to overlap its successor
    assert any("ran at once" in note for note in log.notes)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "are empty"),
        ("{broken\n", r"requests\.jsonl:1: "),
        ('{"input_toks": 1}\n', "no field 'output_toks'"),
        (
            '{"input_toks": 1, "output_toks": 2, "queued_ts": 5, "first_token_ts": 4, "last_token_ts": 6}\n',
            "check the clocks",
        ),
    ],
)
def test_request_logs_that_cannot_be_used(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_request_log(path)


def test_too_few_requests(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds 50 requests and the first 60 are fitted"):
        validate_requests(read_request_log(_served_log(tmp_path, 50, 10**9)))


def test_answers_of_one_token_have_no_tpot_to_score(tmp_path: Path) -> None:
    log = read_request_log(_served_log(tmp_path, 160, 10**9))
    single = dataclasses.replace(log, output_tokens=np.ones_like(log.output_tokens))
    with pytest.raises(InputError, match="a single output token"):
        validate_requests(single)


def test_the_command_has_the_promised_keys(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.touch()
    _table(path, [_level(n, i, o) for i, o in SHAPES for n in (4, 8, 16, 32, 64)])
    app = typer.Typer()
    register(app)
    value = json.loads(CliRunner().invoke(app, ["validate", str(path), "--json"]).stdout)
    assert {"points", "deployments", "coverage_frac", "tpot", "e2e", "ttft"} <= set(value)
    assert set(value["tpot"]) == {"median_frac", "mean_frac", "p90_frac"}
    shown = CliRunner().invoke(app, ["validate", str(path)]).stdout
    assert "steady state alone" in shown
    assert "simulated run" in shown
