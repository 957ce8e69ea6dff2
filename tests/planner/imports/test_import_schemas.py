"""Files of tools that cannot run here, made by hand after their documented schema: every figure worked on paper.

The files that guidellm, aiperf, servebench and llama.cpp's benches really wrote are in `test_import_real_files.py`.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from planner.errors import InputError
from planner.imports.build import import_result, import_results
from planner.imports.document import read_document
from planner.imports.load import read_foreign_levels
from planner.imports.points import by_shape, fitted_points
from planner.imports.record import ToolResult
from planner.imports.registry import read_results
from planner.steptime.fit import predict_level
from planner.steptime.measurements import read_level_table
from planner.steptime.validate import validate_levels


def results(*rows: dict[str, Any], name: str = "result.json") -> list[ToolResult]:
    content = json.dumps(rows[0]) if len(rows) == 1 else "\n".join(json.dumps(row) for row in rows)
    return read_results(read_document(name, content.encode()))


def vllm_row(**changes: Any) -> dict[str, Any]:
    row = {
        "date": "20261119-221530",
        "endpoint_type": "openai-chat",
        "backend": "openai-chat",
        "label": None,
        "model_id": "meta-llama/Llama-3.1-8B-Instruct",
        "tokenizer_id": "meta-llama/Llama-3.1-8B-Instruct",
        "num_prompts": 200,
        "request_rate": "inf",
        "burstiness": 1.0,
        "max_concurrency": 8,
        "duration": 50.0,
        "completed": 200,
        "failed": 0,
        "total_input_tokens": 204800,
        "total_output_tokens": 25600,
        "request_throughput": 4.0,
        "output_throughput": 512.0,
        "total_token_throughput": 4608.0,
        "mean_ttft_ms": 250.0,
        "median_ttft_ms": 240.0,
        "std_ttft_ms": 20.0,
        "p99_ttft_ms": 400.0,
        "mean_tpot_ms": 12.5,
        "median_tpot_ms": 12.0,
        "std_tpot_ms": 1.0,
        "p99_tpot_ms": 15.0,
        "mean_itl_ms": 12.6,
        "median_itl_ms": 11.0,
        "std_itl_ms": 5.0,
        "p99_itl_ms": 60.0,
    }
    return row | changes


def test_vllm_plain() -> None:
    (result,) = results(vllm_row())
    (level,) = result.levels
    assert (result.tool, result.measured_at) == ("vLLM bench serve", "2026-11-19T22:15:30")
    assert result.subject.model == "meta-llama/Llama-3.1-8B-Instruct"
    assert result.subject.engine is None  # openai-chat is how the client spoke, not what answered
    assert (level.mode, level.target, level.requests_per_s, level.window_s) == ("closed", 8.0, 4.0, 50.0)
    assert level.input_tokens is not None
    assert level.output_tokens is not None
    assert (level.input_tokens.mean, level.output_tokens.mean) == (1024.0, 128.0)
    assert level.ttft_s is not None
    assert (level.ttft_s.mean, level.ttft_s.p50, level.ttft_s.p95, level.ttft_s.p99) == (0.25, 0.24, None, 0.4)
    assert level.e2e_s is not None
    assert level.e2e_s.mean == pytest.approx(0.25 + 127 * 0.0125)  # not in the file: 1.8375 s
    assert level.concurrency == pytest.approx(4.0 * 1.8375)
    assert any("role chunk" in bias for bias in result.biases)


def test_vllm_burst_is_shown_but_never_fitted() -> None:
    (result,) = results(vllm_row(max_concurrency=None))
    assert result.levels[0].target == 200
    assert "all requests were sent at once" in result.levels[0].invalid_reasons[0]


def test_vllm_detailed_lists_are_worth_more_than_its_summary() -> None:
    starts = [0.0, 0.0, 2.0, 2.0, 4.0, 4.0]  # two streams of requests of 2 s
    (result,) = results(
        vllm_row(
            max_concurrency=2,
            backend="openai",
            endpoint_type="openai",
            request_throughput=0.5,
            start_times=[100 + s for s in starts],
            input_lens=[20] * 6,
            output_lens=[5] * 6,
            ttfts=[1.0, 1.0, 0.8, 0.8, 0.6, 0.6],
            itls=[[0.25] * 4, [0.25] * 4, [0.3] * 4, [0.3] * 4, [0.35] * 4, [0.35] * 4],
            errors=[""] * 6,
        )
    )
    (level,) = result.levels
    assert level.window_s == pytest.approx(2.0)  # 102 to 104
    assert level.requests_per_s == pytest.approx(1.0)
    assert level.ttft_s is not None
    assert level.ttft_s.mean == pytest.approx(0.7)  # the first two, the start, are left out
    assert level.tpot_s is not None
    assert level.tpot_s.mean == pytest.approx(0.325)
    assert level.itl_s is not None
    assert level.itl_s.count == 16
    assert not any("role chunk" in bias for bias in result.biases)


def test_sglang_lines_are_one_level_each() -> None:
    shared = {"backend": "sglang", "dataset_name": "random", "request_rate": float("inf"), "duration": 20.0}
    shared |= {"completed": 100, "total_input_tokens": 51200, "total_output_tokens": 51200, "output_throughput": 2560.0}
    shared |= {"total_output_tokens_retokenized": 51100, "request_throughput": 5.0, "mean_tpot_ms": 6.0}
    rows = [
        shared | {"max_concurrency": 16, "concurrency": 15.5, "mean_ttft_ms": 34.0, "mean_e2e_latency_ms": 3100.0},
        shared | {"max_concurrency": 32, "concurrency": 30.0, "mean_ttft_ms": 68.0, "mean_e2e_latency_ms": 6000.0},
    ]
    found = results(*rows, name="sglang.jsonl")
    assert [r.tool for r in found] == ["SGLang bench_serving"] * 2
    assert found[0].subject.engine == "sglang"
    levels = [r.levels[0] for r in found]
    assert [level.target for level in levels] == [16.0, 32.0]
    assert [level.concurrency for level in levels] == [15.5, 30.0]
    assert levels[1].e2e_s is not None
    assert levels[1].e2e_s.mean == 6.0


def inferencex_row(isl: int, osl: int, conc: int, *, ttft_s: float, tpot_s: float, **changes: Any) -> dict[str, Any]:
    """Lengths drawn 10 % below the nominal ones; throughputs of 8 GPUs in a steady closed loop."""
    inputs, outputs = 0.9 * isl, 0.9 * osl
    e2e_s = ttft_s + (outputs - 1) * tpot_s
    row = {"hw": "h200", "conc": conc, "image": "vllm/vllm-openai:v0.11.0", "model": "openai/gpt-oss-120b"}
    row |= {"infmax_model_prefix": "gptoss", "framework": "vllm", "precision": "fp4", "spec_decoding": "none"}
    row |= {"disagg": False, "is_multinode": False, "isl": isl, "osl": osl, "tp": 8, "ep": 1, "dp_attention": "false"}
    row |= {"mean_ttft": ttft_s, "median_ttft": ttft_s, "p99_ttft": 2 * ttft_s, "mean_tpot": tpot_s, "mean_e2el": e2e_s}
    row |= {"output_tput_per_gpu": conc / e2e_s * outputs / 8, "input_tput_per_gpu": conc / e2e_s * inputs / 8}
    return row | changes


def test_inferencex_lengths_are_recovered_from_latencies_and_throughputs() -> None:
    (result,) = results(inferencex_row(8192, 1024, 16, ttft_s=0.5, tpot_s=0.01))
    (level,) = result.levels
    assert level.output_tokens is not None
    assert level.input_tokens is not None
    assert level.output_tokens.mean == pytest.approx(0.9 * 1024)
    assert level.input_tokens.mean == pytest.approx(0.9 * 8192)
    assert level.requests_per_s == pytest.approx(16 / (0.5 + (0.9 * 1024 - 1) * 0.01))
    assert result.accelerators == ("h200",) * 8
    assert (result.subject.engine, result.subject.engine_version, result.subject.precision) == (
        *("vllm", "v0.11.0"),
        "fp4",
    )


def test_an_inferencex_sweep_becomes_a_profile_and_several_deployments_need_a_choice() -> None:
    rows = [
        inferencex_row(isl, osl, conc, ttft_s=0.02 + isl * conc**0.5 * 2e-5, tpot_s=0.005 + 0.0002 * conc, hw=hw)
        for hw in ("h200", "b200")
        for isl, osl in ((1024, 1024), (1024, 8192), (8192, 1024))
        for conc in (4, 16, 64)
    ]
    content = json.dumps(rows).encode()
    with pytest.raises(InputError, match=r"several deployments.*--only"):
        import_result("agg.json", content)
    imported = import_result("agg.json", content, only="h200 tp8")
    assert imported.not_plannable is None
    assert imported.profile is not None
    assert imported.profile.fit.points == 9
    assert imported.profile.fit.hull.max_concurrency == 64
    assert imported.profile.host.accelerators == ("h200",) * 8
    assert imported.profile.provenance.source == "imported"
    assert imported.profile.provenance.files[0].measured_at is None
    assert "provenance.measured_at" in imported.profile.missing
    assert imported.profile.levels[0].ttft_s is None  # no p95 and no maximum: not a whole distribution
    assert imported.profile.levels[0].stated["ttft_s"].p99 is not None
    with pytest.raises(InputError, match="no deployment in these files has 'mi300x'"):
        import_result("agg.json", content, only="mi300x")


def test_genai_perf() -> None:
    def block(unit: str, average: float) -> dict[str, Any]:
        return {
            "unit": unit,
            "avg": average,
            "p50": average,
            "p95": 1.5 * average,
            "p99": 2 * average,
            "max": 3 * average,
        }

    (result,) = results(
        {
            "request_throughput": {"unit": "requests/sec", "avg": 2.0},
            "request_latency": block("ms", 2000.0),
            "time_to_first_token": block("ms", 100.0),
            "inter_token_latency": block("ms", 19.0),
            "output_sequence_length": block("tokens", 101.0),
            "input_sequence_length": block("tokens", 550.0),
            "output_token_throughput": {"unit": "tokens/sec", "avg": 202.0},
            "input_config": {"model": ["gpt2"], "perf_analyzer": {"stimulus": {"concurrency": 4}}},
        }
    )
    (level,) = result.levels
    assert (result.tool, result.subject.model) == ("GenAI-Perf", "gpt2")
    assert (level.mode, level.target, level.requests_per_s) == ("closed", 4.0, 2.0)
    assert level.ttft_s is not None
    assert (level.ttft_s.mean, level.ttft_s.p95, level.ttft_s.max) == pytest.approx((0.1, 0.15, 0.3))
    assert level.tpot_s is not None
    assert level.tpot_s.mean == pytest.approx(0.019)  # (2000 - 100) ms / (101 - 1)


def inference_perf_stage(rate: float, *, latency_s: float) -> dict[str, Any]:
    def block(average: float) -> dict[str, float]:
        return {"mean": average, "min": average, "median": average, "p95": average, "p99": average, "max": average}

    latencies = {
        "request_latency": latency_s,
        "time_to_first_token": 0.1,
        "time_per_output_token": (latency_s - 0.1) / 99,
    }
    return {
        "load_summary": {"count": 60, "requested_rate": rate, "achieved_rate": rate, "schedule_delay": block(0.001)},
        "successes": {
            "count": 60,
            "latency": {name: block(value) for name, value in latencies.items()},
            "throughput": {"requests_per_sec": rate, "output_tokens_per_sec": 100 * rate},
            "prompt_len": block(400.0),
            "output_len": block(100.0),
        },
        "failures": {"count": 0, "request_latency": None},
    }


def test_inference_perf_stages_are_open_loops_and_one_shape_can_only_be_shown() -> None:
    stages = {
        f"run/stage_{k}_lifecycle_metrics.json": json.dumps(inference_perf_stage(rate, latency_s=2.0)).encode()
        for k, rate in enumerate((1.0, 2.0, 4.0))
    }
    imported = import_results(stages)
    assert [level.mode for level in imported.levels] == ["open"] * 3
    assert [level.achieved_concurrency for level in imported.levels] == [2.0, 4.0, 8.0]  # Little: rate times 2 s
    assert imported.levels[0].tpot_s is not None
    assert imported.levels[0].tpot_s.mean == pytest.approx(1.9 / 99)
    assert imported.profile is None
    assert imported.not_plannable is not None
    assert "3 of 3 levels can be used and a plan needs 6" in imported.not_plannable


def test_inference_perf_requests_by_stage() -> None:
    rows = [
        {
            "stage_id": 0,
            "session_id": None,
            "scheduled_time": 10.0 + k,
            "start_time": 10.0 + k,
            "end_time": 12.5 + k,
            "request_data": "",
            "response_data": "",
            "info": {
                "request_metrics": {"text": {"input_tokens": 30}},
                "response_metrics": {"output_tokens": 3, "output_token_times": [10.5 + k, 11.5 + k, 12.5 + k]},
            },
            "error": None,
        }
        for k in range(8)
    ]
    (result,) = read_results(read_document("per_request_lifecycle_metrics.json", json.dumps(rows).encode()))
    (level,) = result.levels
    assert (level.mode, level.target) == ("open", 1.0)
    assert level.concurrency == pytest.approx(22 / 9)  # 12.5 to 17 s: 2, 3, 2, 3, ... in nine half seconds
    assert level.ttft_s is not None
    assert level.ttft_s.mean == pytest.approx(0.5)
    assert level.tpot_s is not None
    assert level.tpot_s.mean == pytest.approx(1.0)
    assert level.input_tokens is not None
    assert level.input_tokens.mean == 30


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.json", b"  \n", "is empty"),
        ("half.json", b'{"benchmarks": [', "no JSON"),
        ("foreign.json", b'{"hello": 1}', "of no known tool; known are guidellm"),
        ("list.json", b"[1, 2]", "entry 1 is no JSON object"),
        ("lines.jsonl", b'{"a": 1}\n{"a": \n', "lines.jsonl:2"),
        ("deep.json", b"[" * 100_000, "no JSON"),
        ("deep2.json", b'{"a": NaN, "b": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "no JSON"),
        ("photo.png", b"\x89PNG\r\n\x1a\n\x00\xff\xfe", "neither text nor gz"),
        ("broken.gz", b"\x1f\x8b\x08\x00", "cannot be unpacked"),
        ("none.json", b'{"load_summary": {}, "successes": {}}', "holds no load level"),
    ],
)
def test_a_bad_file_is_one_sentence(name: str, content: bytes, says: str) -> None:
    with pytest.raises(InputError) as caught:
        import_result(name, content)
    assert says in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_unpacks_to_more_than_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    from planner.imports import document

    monkeypatch.setattr(document, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match="larger than"):
        import_result("bomb.json.gz", gzip.compress(b" " * 100_000))


def test_nan_is_missing_and_not_a_number() -> None:
    content = json.dumps(vllm_row(mean_tpot_ms=float("nan"))).encode()
    imported = import_result("nan.json", content)
    assert imported.levels[0].known("tpot_s") is None


def test_validate_reads_what_profile_reads(tmp_path: Path) -> None:
    rows = [
        inferencex_row(isl, osl, conc, ttft_s=0.02 + isl * conc**0.5 * 2e-5, tpot_s=0.005 + 0.0002 * conc)
        for isl, osl in ((1024, 1024), (1024, 8192), (8192, 1024))
        for conc in (4, 16, 64)
    ]
    (tmp_path / "agg.json").write_text(json.dumps(rows))
    table = read_foreign_levels(tmp_path / "agg.json")
    assert table is not None
    (deployment,) = table.deployments
    assert len(deployment.points) == 9
    assert validate_levels(table).points == 3  # the middle concurrency of each shape is left to score
    (tmp_path / "other.json").write_text('{"hello": 1}')
    assert read_foreign_levels(tmp_path / "other.json") is None


def test_a_poisson_level_counts_as_a_closed_loop_of_one_more_than_its_mean() -> None:
    stages = [inference_perf_stage(rate, latency_s=2.0) for rate in (1.0, 4.0)]
    (result,) = read_results(read_document("stages.json", json.dumps(stages).encode()))
    points, notes = fitted_points(by_shape(result.levels))
    assert [point.concurrency for point in points] == [3.0, 9.0]
    assert "open-loop ones are fitted" in notes[0]


def batched_row(pp: int, tg: int, pl: int, *, t_pp: float, t_tg: float) -> dict[str, Any]:
    row = {"n_kv_max": 4096, "n_batch": 2048, "n_ubatch": 512, "flash_attn": -1, "is_pp_shared": 0, "n_gpu_layers": -1}
    row |= {"n_threads": 2, "n_threads_batch": 2, "pp": pp, "tg": tg, "pl": pl, "n_kv": pl * (pp + tg)}
    row |= {"t_pp": t_pp, "speed_pp": pl * pp / t_pp, "t_tg": t_tg, "speed_tg": pl * tg / t_tg}
    return row | {"t": t_pp + t_tg, "speed": pl * (pp + tg) / (t_pp + t_tg)}


def test_llama_batched_bench_composes_a_closed_loop() -> None:
    (result,) = results(batched_row(128, 32, 4, t_pp=0.8, t_tg=0.62))
    (level,) = result.levels
    assert result.kind == "engine-only"
    assert level.tpot_s is not None
    assert level.ttft_s is not None
    assert level.tpot_s.mean == pytest.approx(
        0.019375 + 3 / 32 * 0.2
    )  # a decode step, and 3 prompts over a wait and 31 steps
    assert level.ttft_s.mean == pytest.approx(0.2 + 0.019375)  # its own prompt and one step of the others
    assert level.requests_per_s == pytest.approx(4 / (0.219375 + 31 * level.tpot_s.mean))


def test_llama_batched_bench_gives_back_the_engine_it_was_run_on() -> None:
    """10 ms a step and 1 ms a prompt token: alone 10 ms + prompt, and loaded 10 ms and the others' prompts."""
    rows = [
        batched_row(pp, tg, pl, t_pp=0.010 + 0.001 * pp * pl, t_tg=0.010 * tg)
        for pp, tg in ((512, 32), (128, 128), (32, 512))
        for pl in (1, 2, 4)
    ]
    imported = import_result("batched.jsonl", "\n".join(json.dumps(row) for row in rows).encode())
    assert imported.profile is not None
    step, limits = imported.profile.fit.step_time, imported.profile.limits
    for prompt, output in ((512, 32), (128, 128), (32, 512)):
        alone = predict_level(step, limits, concurrency=1, input_tokens=prompt, output_tokens=output)
        assert alone.ttft_s == pytest.approx(0.010 + 0.001 * prompt, rel=0.05)
        assert alone.tpot_s == pytest.approx(0.010, rel=0.05)
        loaded = predict_level(step, limits, concurrency=4, input_tokens=prompt, output_tokens=output)
        assert loaded.tpot_s == pytest.approx(0.010 + 3 / output * 0.001 * prompt, rel=0.05)
    assert imported.profile.limits.max_sequences == 4
    assert imported.profile.fit.held_out_ttft_error_frac is None
    assert any("engine-only" in note for note in imported.notes)
    assert imported.profile.missing["provenance.model"].startswith("llama-batched-bench")


def test_llama_bench_runs_one_sequence_and_can_only_be_shown() -> None:
    shared = {"build_commit": "abc123", "build_number": 9999, "cpu_info": "AMD EPYC", "gpu_info": "", "n_threads": 2}
    shared |= {"model_filename": "m.gguf", "model_type": "llama 1B Q8_0", "model_size": 2**30, "n_gpu_layers": 0}
    shared |= {"n_batch": 2048, "n_ubatch": 512, "n_depth": 0, "test_time": "2026-11-20T10:00:00Z"}
    rows = [
        shared | {"n_prompt": 512, "n_gen": 0, "avg_ns": 2_048_000_000, "avg_ts": 250.0},
        shared | {"n_prompt": 0, "n_gen": 128, "avg_ns": 6_400_000_000, "avg_ts": 20.0},
    ]
    imported = import_result("bench.json", json.dumps(rows).encode())
    (level,) = imported.levels
    ttft, tpot = level.known("ttft_s"), level.known("tpot_s")
    assert ttft is not None
    assert tpot is not None
    assert (ttft.mean, tpot.mean) == pytest.approx((2.048, 0.05))
    assert imported.files[0].tool_version == "9999"
    assert imported.not_plannable is not None
    assert "one sequence at a time" in imported.not_plannable
    as_csv = "\n".join(",".join(map(str, line)) for line in (rows[0], *(row.values() for row in rows)))
    assert import_result("bench.csv", as_csv.encode()).levels == imported.levels


def test_an_engine_log_is_shown_and_left_to_validate(repository: Path) -> None:
    """300 requests of a real vLLM 0.19 server (MIT, LLMServingSim); means counted from the lines."""
    path = repository / "benchmarks" / "accuracy" / "data" / "vllm_rtxpro6000_llama8b" / "requests.jsonl"
    imported = import_result("requests.jsonl", path.read_bytes())
    (level,) = imported.levels
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert (level.mode, imported.profile) == ("open", None)
    assert level.target == pytest.approx(299 / (max(r["queued_ts"] for r in rows) - min(r["queued_ts"] for r in rows)))
    done = min(r["last_token_ts"] for r in rows)
    steady = [r for r in rows if r["queued_ts"] >= done]
    assert level.ttft_s is not None
    assert level.ttft_s.count == len(steady)
    assert level.ttft_s.mean == pytest.approx(sum(r["first_token_ts"] - r["queued_ts"] for r in steady) / len(steady))
    assert read_foreign_levels(path) is None


def test_a_level_table_makes_the_same_points_here_as_in_validate(repository: Path) -> None:
    path = repository / "planner" / "data" / "silicon_sample.csv.gz"
    imported = read_results(read_document("silicon.csv.gz", path.read_bytes()))
    deployments = read_level_table(path).deployments
    assert len(imported) == len(deployments)
    for result, deployment in zip(imported[:5], deployments[:5], strict=True):
        points, _ = fitted_points(by_shape(result.levels))
        assert sorted(points, key=repr) == sorted(deployment.points, key=repr)
