"""Reasons that are not money take options out by name and reason; what is open is asked."""

import dataclasses
from pathlib import Path

import pytest
from plan_case import ONE_AT_A_TIME, SCENARIO, measured, write_case

from planner.decision.decide import make_plan, size_fleets
from planner.decision.plan import Plan
from planner.errors import InputError
from planner.profile import Profile
from planner.scenario.load import load_inputs


def plan_with(directory: Path, extra: str, profile: Profile = ONE_AT_A_TIME) -> Plan:
    scenario = SCENARIO.replace("[assumptions]", f"{extra}\n\n[assumptions]")
    inputs = load_inputs(write_case(directory, scenario, profile))
    return make_plan(inputs, size_fleets(inputs))


def out(plan: Plan) -> dict[str, str]:
    return {
        excluded.id: excluded.reason for excluded in plan.excluded if excluded.kind not in ("hybrid", "staged", "mix")
    }


def test_without_requirements_nothing_is_out(tmp_path: Path) -> None:
    assert out(plan_with(tmp_path, "")) == {}


def test_data_that_must_stay_on_own_machines_takes_out_the_api(tmp_path: Path) -> None:
    plan = plan_with(tmp_path, '[requirements]\ndata = "own machines"')
    assert out(plan) == {"openai/gpt-4o-mini": "data must stay on own machines"}
    assert [option.id for option in plan.options] == ["cpu-1p-8c", "aws-c7a-large"]
    assert plan.break_even is None
    assert plan.risk.self_host_cheaper_frac is None


def test_on_premises_leaves_only_what_is_owned(tmp_path: Path) -> None:
    plan = plan_with(tmp_path, '[requirements]\ndata = "on premises"')
    assert [option.id for option in plan.options] == ["cpu-1p-8c"]


def test_a_vendor_that_may_not_be_used(tmp_path: Path) -> None:
    plan = plan_with(tmp_path, '[requirements]\nwithout_providers = ["OpenAI", "amazon web services"]')
    assert out(plan) == {
        "openai/gpt-4o-mini": "openai may not be used",
        "aws-c7a-large": "Amazon Web Services may not be used",
    }


def test_all_reasons_of_one_option_are_told(tmp_path: Path) -> None:
    plan = plan_with(tmp_path, '[requirements]\ndata = "on premises"\nwithout_providers = ["openai"]')
    assert out(plan)["openai/gpt-4o-mini"] == "data must stay on premises; openai may not be used"


@pytest.mark.parametrize(
    ("passed", "is_out", "is_asked"),
    [(50, True, False), (80, False, True), (95, False, False)],
)
def test_quality_decides_only_where_the_tests_do(tmp_path: Path, passed: int, is_out: bool, is_asked: bool) -> None:
    """Of 100 tasks against a minimum of 80 %: Wilson's 95 % intervals are 40-60, 71-87 and 89-98 %."""
    quality = f'[quality."self-hosted"]\npassed = {passed}\ntotal = 100\nsuite = "tickets"'
    plan = plan_with(tmp_path, f"[requirements]\nmin_pass_rate_frac = 0.8\n\n{quality}")
    assert ("cpu-1p-8c" in out(plan)) is is_out
    assert any("too few tasks" in question for question in plan.questions) is is_asked
    assert any("No test result is given for openai/gpt-4o-mini" in question for question in plan.questions)


def test_a_licence_that_is_not_known_is_asked_about_but_not_of_random_weights(tmp_path: Path) -> None:
    assert not any("icence" in question for question in plan_with(tmp_path, "").questions)
    real = measured()
    named = dataclasses.replace(real, provenance=dataclasses.replace(real.provenance, model="acme/model"))
    assert any("acme/model" in question for question in plan_with(tmp_path, "", named).questions)


def test_nothing_left_is_an_answer_too(tmp_path: Path) -> None:
    extra = '[requirements]\ndata = "on premises"\nmin_pass_rate_frac = 0.9\n\n[quality."self-hosted"]\npassed = 1\n'
    plan = plan_with(tmp_path, extra + 'total = 100\nsuite = "tickets"')
    assert plan.options == ()
    assert plan.verdict.headline == "The result is that no option is left: every candidate is out."
    assert "passed 1 of 100 (tickets), below the minimum of 90%" in plan.verdict.paragraph


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ('[requirements]\ndata = "somewhere"', "requirements.data"),
        ('[quality."x/y"]\npassed = 1\ntotal = 2\nsuite = "s"', "quality names x/y"),
        ('[quality."self-hosted"]\npassed = 3\ntotal = 2\nsuite = "s"', "passed (3) cannot exceed total (2)"),
    ],
)
def test_impossible_requirements_are_refused(tmp_path: Path, extra: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        plan_with(tmp_path, extra)
    assert said in str(caught.value)
