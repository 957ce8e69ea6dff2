"""The scoreboard on real measurements: what benchmarks/accuracy/README.md claims, with a little room."""

from pathlib import Path

from planner.steptime.measurements import read_level_table, read_request_log
from planner.steptime.validate import validate_levels, validate_requests


def test_level_means_of_87_deployments(repository: Path) -> None:
    board = validate_levels(read_level_table(repository / "planner/data/silicon_sample.csv.gz"))
    assert (board.deployments, board.points) == (87, 594)
    assert board.tpot.median_frac <= 0.02
    assert board.tpot.p90_frac <= 0.08
    assert board.e2e.median_frac <= 0.02
    assert board.e2e.p90_frac <= 0.08
    assert board.ttft.median_frac <= 0.06
    assert board.ttft.p90_frac <= 0.28
    assert 0.85 <= board.coverage_frac <= 0.95
    assert board.step_time_alone is not None
    assert board.step_time_alone["tpot"].median_frac <= 0.03
    assert board.simulated is not None
    assert board.simulated["tpot"].median_frac <= 0.03
    assert board.simulated["ttft"].median_frac <= 0.15  # steady state alone misses it by a third


def test_single_requests_of_a_vllm_server(repository: Path) -> None:
    log = read_request_log(repository / "benchmarks/accuracy/data/vllm_rtxpro6000_llama8b/requests.jsonl")
    assert (log.limits.max_sequences, log.limits.step_token_budget, log.notes) == (128, 2048, ())
    board = validate_requests(log)
    assert (board.deployments, board.points) == (1, 240)
    assert board.e2e.mean_frac <= 0.01
    assert 0.85 <= board.coverage_frac <= 0.95
