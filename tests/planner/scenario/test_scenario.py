"""The scenario file: what is read, what is refused and how well the refusal helps."""

from pathlib import Path

import pytest
from plan_case import SCENARIO, write_case

from planner.errors import InputError
from planner.scenario.toml_file import dump_scenario, load_scenario
from planner.scenario.toml_lines import key_lines


def write(directory: Path, text: str) -> Path:
    file = directory / "scenario.toml"
    file.write_text(text)
    return file


def test_a_scenario_survives_writing_and_reading(tmp_path: Path) -> None:
    scenario = load_scenario(write(tmp_path, SCENARIO))
    assert load_scenario(write(tmp_path, dump_scenario(scenario))) == scenario


def test_a_directory_means_the_file_in_it(tmp_path: Path) -> None:
    write(tmp_path, SCENARIO)
    assert load_scenario(tmp_path).name == "worked example"


def test_a_bare_number_is_certain_and_a_table_keeps_its_source(tmp_path: Path) -> None:
    scenario = load_scenario(write(tmp_path, SCENARIO))
    assert scenario.workload.requests_per_day is not None
    assert scenario.workload.requests_per_day.low == scenario.workload.requests_per_day.high == 216_000
    assert scenario.assumptions["staff_fte"].source == "a test"


def test_all_mistakes_come_together_with_line_and_key(tmp_path: Path) -> None:
    broken = (
        SCENARIO.replace("horizon_months = 48", "horizon_months = 0\ncolour = 3")
        .replace('"2026-12"', '"2026-13"')
        .replace("requests_per_day = 216_000", "growth_frac_per_month = { low = 3, mid = 2, high = 1 }")
        .replace("attainment_frac = 0.99\ne2e_s = 1.5", "")
        .replace("replicas_per_machine = 2", "replicas_per_machine = 0")
        .replace("pue_ratio = 1.5", 'pue_ratio = "much"')
    )
    with pytest.raises(InputError) as caught:
        load_scenario(write(tmp_path, broken))
    message = str(caught.value)
    for place in (
        "line 3, start_month: write the first month as YYYY-MM",
        "line 4, horizon_months: ",
        "line 5, colour: there is no such key",
        "line 10, workload.growth_frac_per_month: needs low <= mid <= high, got 3.0, 2.0, 1.0",
        "line 12, slo: give at least one of ttft_s, tpot_s and e2e_s",
        "candidates.own.0.replicas_per_machine: must be at least 1, got 0",
        "assumptions.pue_ratio: give a number or a table with low, mid and high",
    ):
        assert place in message
    assert message.count(";") >= 6


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("schema_version = 1\n", "", "schema_version: is missing"),
        ("schema_version = 1", "schema_version = 2", "schema_version"),
        ('name = "worked', 'currency = "XAU"\nname = "worked', "currency"),
        ('profile = "profile.json"\n', "", "needs a measured profile"),
        ('api = ["openai/gpt-4o-mini"]', 'api = ["openai/a", "openai/a"]', "api names openai/a more than once"),
        ("requests_per_day = 216_000", "requests_per_day = 0", "requests_per_day: must be above 0"),
        ("requests_per_day = 216_000", "growth_frac_per_month = -1", "growth_frac_per_month: must be above -1"),
        (
            "requests_per_day = 216_000",
            "growth_frac_per_month = 1.5",
            "growth_frac_per_month: must be at most 1, got 1.5",
        ),
        ("e2e_s = 1.5", "e2e_s = inf", "slo.e2e_s: Input should be a finite number"),
        ("requests_per_day = 216_000", "cached_input_frac = 1.2", "cached_input_frac: must be at most 1"),
        ("requests_per_day = 216_000", "requests_per_day = nan", "requests_per_day"),
        ("[slo]", "[slo", "is not valid TOML"),
        ('offer = "cpu-1p-8c"', 'offer = "aws-c7a-large"', "aws-c7a-large stands under rent and own"),
    ],
)
def test_one_mistake_is_one_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in SCENARIO
    with pytest.raises(InputError) as caught:
        load_scenario(write(tmp_path, SCENARIO.replace(old, new)))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="breakeven demo"):
        load_scenario(tmp_path / "none.toml")


def test_lines_of_keys_in_arrays_of_tables() -> None:
    lines = key_lines('a = 1\n[t]\n"b/c" = 2\n[[r.s]]\nx = 1\n[[r.s]]\nx = 2\n[r.s.y]\nz = 3\n')
    assert lines[("a",)] == 1
    assert lines[("t", "b/c")] == 3
    assert lines[("r", "s", 1, "x")] == 7


def test_all_that_cannot_be_is_refused_together_with_its_line(tmp_path: Path) -> None:
    """Shrinking by more than everything, a life of nothing, low above high and an unknown currency: four lines."""
    text = SCENARIO
    for old, new in (
        ("requests_per_day = 216_000", "requests_per_day = 216_000\ngrowth_frac_per_month = -1.2"),
        ("staff_usd_per_fte_year = 120_000", "staff_usd_per_fte_year = { low = 9, mid = 5, high = 1 }"),
        ('"cpu-1p-8c/life_years" = 4', '"cpu-1p-8c/life_years" = 0'),
        ("horizon_months = 48", 'horizon_months = 48\ncurrency = "XYZ"'),
    ):
        assert old in text
        text = text.replace(old, new)
    with pytest.raises(InputError) as raised:
        load_scenario(write_case(tmp_path, text))
    said = str(raised.value)
    lines = {name: n for n, line in enumerate(text.splitlines(), start=1) for name in [line.partition(" =")[0]]}
    assert "4 mistakes" in said
    assert f"line {lines['growth_frac_per_month']}, workload.growth_frac_per_month: must be above -1" in said
    assert f"line {lines['currency']}, currency:" in said
    assert f"line {lines['staff_usd_per_fte_year']}, assumptions.staff_usd_per_fte_year: needs low <= mid" in said
    life = lines['"cpu-1p-8c/life_years"']
    assert f'line {life}, assumptions."cpu-1p-8c/life_years" must be at least 0.0833333, got 0' in said
