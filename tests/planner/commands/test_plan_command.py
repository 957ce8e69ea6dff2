"""`breakeven plan` as a user runs it, and what it says when something is wrong."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
from plan_case import ONE_AT_A_TIME, SCENARIO, measured, write_case


def breakeven(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "measure.cli", *arguments, *(["--no-pdf"] if "plan" in arguments else [])]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def verdict(directory: Path) -> dict[str, object]:
    done = breakeven("plan", str(directory), "--json")
    assert done.returncode == 0, done.stderr
    parsed: dict[str, object] = json.loads(done.stdout)
    return parsed


def test_it_writes_the_plan_beside_the_scenario_and_prints_the_verdict(tmp_path: Path) -> None:
    directory = write_case(tmp_path)
    done = breakeven("plan", str(directory / "scenario.toml"))
    assert done.returncode == 0, done.stderr
    assert "Buy tokens: openai/gpt-4o-mini" in done.stdout
    told = json.loads((directory / "plan" / "verdict.json").read_bytes())
    printed = " ".join(done.stdout.split())
    assert all(f"{point['about']}: {point['says']}" in printed for point in told["points"])
    assert {file.name for file in (directory / "plan").iterdir()} == {
        "verdict.json", "costs.csv", "assumptions.csv", "hourly.csv", "latency.csv", "report.html", "manifest.json",
        "prices.lock.json", "focus.csv", "plan.xlsx", "costs_excel.csv", "costs_excel_semicolon.csv",
    }  # fmt: skip


def test_json_is_one_object_and_equals_the_file(tmp_path: Path) -> None:
    directory = write_case(tmp_path)
    assert verdict(directory) == json.loads((directory / "plan" / "verdict.json").read_bytes())


def test_a_service_level_that_no_replica_reaches_takes_self_hosting_out_and_still_answers(tmp_path: Path) -> None:
    found = verdict(write_case(tmp_path, SCENARIO.replace("e2e_s = 1.5", "e2e_s = 0.5")))
    assert [out["id"] for out in found["excluded"]] == ["aws-c7a-large", "cpu-1p-8c"]  # type: ignore[index]
    assert "E2E of an empty replica: needs 0.5 s, has 1" in found["excluded"][0]["reason"]  # type: ignore[index]
    assert found["break_even"] is None
    assert "There is no self-hosted option to compare it with" in str(found["verdict"])


def test_a_model_whose_context_is_too_short_is_out(tmp_path: Path) -> None:
    limits = dataclasses.replace(ONE_AT_A_TIME.limits, context_tokens=300_000, kv_capacity_tokens=300_000)
    long = dataclasses.replace(ONE_AT_A_TIME, limits=limits)
    scenario = SCENARIO.replace("e2e_s = 1.5", "e2e_s = 400")
    found = verdict(write_case(tmp_path, scenario, long, input_tokens=200_000))
    assert found["excluded"][0] == {  # type: ignore[index]
        "id": "openai/gpt-4o-mini",
        "kind": "api",
        "reason": "takes at most 128,000 input tokens, but a request of the log has 200,000",
    }


def test_only_api_models_need_no_profile(tmp_path: Path) -> None:
    cut = SCENARIO[: SCENARIO.index("[[candidates.rent]]")].replace('profile = "profile.json"\n', "")
    found = verdict(write_case(tmp_path, cut))
    assert [option["id"] for option in found["options"]] == ["openai/gpt-4o-mini"]  # type: ignore[attr-defined]


def test_real_weights_get_no_synthetic_warning(tmp_path: Path) -> None:
    found = verdict(write_case(tmp_path, profile=measured()))
    assert "random weights" not in str(found["verdict"])
    assert "good enough for the task" in str(found["verdict"])


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ('"log.csv"', '"none.csv"', 2, "none.csv"),
        ('"profile.json"', '"none.json"', 2, "breakeven measure"),
        ('["openai/gpt-4o-mini"]', '["openai/gpt-17"]', 4, "closest at openai"),
        ('"cpu-1p-8c"\n', '"cpu-9p"\n', 4, 'no purchase offer "cpu-9p"'),
        ("pue_ratio = 1.5", "pue_ration = 1.5", 2, 'assumptions."pue_ration" is not known'),
        ("pue_ratio = 1.5", "pue_ratio = 0.9", 2, 'assumptions."pue_ratio" must be at least 1, got 0.9'),
    ],
)
def test_bad_input_ends_in_one_sentence(tmp_path: Path, old: str, new: str, code: int, said: str) -> None:
    assert old in SCENARIO
    done = breakeven("plan", str(write_case(tmp_path, SCENARIO.replace(old, new))))
    assert done.returncode == code
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "plan").exists()


def test_an_hour_of_log_shows_no_week_of_its_own(tmp_path: Path) -> None:
    scenario = SCENARIO.replace('log = "log.csv"', 'log = "log.csv"\nweek_shape = "log"')
    done = breakeven("plan", str(write_case(tmp_path, scenario)))
    assert done.returncode == 2
    assert "shows no week" in " ".join(done.stderr.split())


def test_a_price_lock_gives_the_same_plan_as_the_library_it_froze(tmp_path: Path) -> None:
    free = verdict(write_case(tmp_path))
    lock = str(tmp_path / "prices.lock.json")
    done = breakeven("prices", "lock", "openai/gpt-4o-mini", "--from", "2026-12", "--months", "48", "--out", lock)
    assert done.returncode == 0, done.stderr
    frozen = verdict(write_case(tmp_path, SCENARIO.replace("profile =", 'price_lock = "prices.lock.json"\nprofile =')))
    assert frozen["options"] == free["options"]


def test_published_measurements_stand_in_for_a_gpu(repository: Path, tmp_path: Path) -> None:
    done = breakeven("plan", str(repository / "examples" / "reference_70b.toml"), "--out", str(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {option["kind"] for option in found["options"]} >= {"api", "rent", "own"}
    assert "rough guess" in found["verdict"]  # most prompts of the log are longer than what was measured
    manifest = json.loads((tmp_path / "manifest.json").read_bytes())
    assert manifest["inputs"][1]["path"] == "reference:llama-3.1-70b/h100_sxm/fp8/vllm/tp8"


def test_a_name_is_no_markup(tmp_path: Path) -> None:
    done = breakeven("plan", str(write_case(tmp_path, SCENARIO.replace("worked example", "a [/] b"))))
    assert done.returncode == 0, done.stderr
    assert "a [/] b" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device on this system")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_disk_is_one_sentence(tmp_path: Path, options: list[str]) -> None:
    command = [sys.executable, "-m", "measure.cli", "plan", str(write_case(tmp_path)), "--no-pdf", *options]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("month", "said"), [("2020-01", "it is a look back"), ("2040-01", "more than 10 years after")])
def test_a_start_far_from_the_prices_is_cautioned(tmp_path: Path, month: str, said: str) -> None:
    cut = SCENARIO[: SCENARIO.index("[[candidates.rent]]")].replace('profile = "profile.json"\n', "")
    found = verdict(write_case(tmp_path, cut.replace("2026-12", month)))
    assert any(said in caution for caution in found["cautions"])  # type: ignore[attr-defined]


def test_a_weak_fit_is_cautioned(tmp_path: Path) -> None:
    fit = dataclasses.replace(ONE_AT_A_TIME.fit, held_out_ttft_error_frac=1.06)
    found = verdict(write_case(tmp_path, profile=dataclasses.replace(ONE_AT_A_TIME, fit=fit)))
    assert "off by 106%" in str(found["verdict"])
