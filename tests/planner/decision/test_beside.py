"""What is not money: availability on paper, regions, evaluation files, and weights that never touch the cost."""

from pathlib import Path

import pytest
from plan_case import SCENARIO, measured, write_case

from planner.decision.decide import make_plan, size_fleets
from planner.decision.matrix import fleet_availability_frac
from planner.decision.plan import Plan
from planner.errors import InputError
from planner.scenario.load import load_inputs

EVALUATIONS = """\
model,suite,passed,total
openai/gpt-4o-mini,ours,40,100
self-hosted,ours,90,100
somebody/else,ours,1,2
"""


def planned(directory: Path, *changes: tuple[str, str], evaluations: str = EVALUATIONS) -> Plan:
    text = SCENARIO
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (directory / "results.csv").write_text(evaluations)
    inputs = load_inputs(write_case(directory, text, measured()))
    return make_plan(inputs, size_fleets(inputs))


@pytest.mark.parametrize(
    ("machines", "needed", "expected"), [(2, 1, 0.9999), (2, 2, 0.9801), (1, 1, 0.99), (3, 2, 0.999702)]
)
def test_availability_of_fleets_of_99_percent_machines(machines: int, needed: int, expected: float) -> None:
    """2 of 3: 0.99^3 + 3 * 0.99^2 * 0.01 = 0.970299 + 0.029403 = 0.999702."""
    assert fleet_availability_frac(machines, needed, 0.99) == pytest.approx(expected, abs=1e-12)


def test_availability_of_a_fleet_of_thousands() -> None:
    """The mean number that is up is 1,980 of 2,000, with a deviation of 4.4: far above half, far below all."""
    assert fleet_availability_frac(2000, 1000, 0.99) == pytest.approx(1.0, abs=1e-12)
    assert fleet_availability_frac(2000, 2000, 0.99) == pytest.approx(0.99**2000, rel=1e-9)
    assert fleet_availability_frac(2000, 2001, 0.99) == 0.0


def test_three_nines_need_the_spare(tmp_path: Path) -> None:
    """3 of 4 rented at 99.5 %: 0.995^4 + 4 * 0.995^3 * 0.005 = 0.99985; the API's 99.5 % is not enough, nor are two
    owned machines of which both are needed, 99.0 %.
    """
    plan = planned(tmp_path, ("[assumptions]", "[requirements]\navailability_frac = 0.999\n\n[assumptions]"))
    out = {excluded.id: excluded.reason for excluded in plan.excluded}
    assert "99.500%" in out["openai/gpt-4o-mini"]
    assert "99.002%" in out["cpu-1p-8c"]
    assert "aws-c7a-large" in [option.id for option in plan.options]


def test_two_vendors_are_asked_for(tmp_path: Path) -> None:
    plan = planned(tmp_path, ("[assumptions]", "[requirements]\nmin_vendors = 2\n\n[assumptions]"))
    out = {excluded.id: excluded.reason for excluded in plan.excluded}
    assert "rests on openai alone, and 2 vendors are asked for" in out["openai/gpt-4o-mini"]
    assert "rests on own alone" in out["cpu-1p-8c"]
    assert all(kind.value in ("mix", "staged") for kind in {option.kind for option in plan.options})


def test_downtime_is_priced_beside_the_cost(tmp_path: Path) -> None:
    """The API is up 99.5 % of the time: 0.005 * 730 h = 3.65 h a month, at 1,000 USD an hour 3,650 USD."""
    plan = planned(tmp_path, ("[assumptions]", "[requirements]\ndowntime_usd_per_h = 1_000\n\n[assumptions]"))
    row = next(row for row in plan.matrix if row.option == "openai/gpt-4o-mini")
    assert row.downtime_h_per_month == pytest.approx(3.65)
    assert row.downtime_usd_per_month == pytest.approx(3_650)
    assert row.usd_per_month == pytest.approx(planned(tmp_path).matrix[0].usd_per_month)


def test_regions_take_out_machines_elsewhere_and_models_without_a_statement(tmp_path: Path) -> None:
    plan = planned(tmp_path, ("[assumptions]", '[requirements]\nregions = ["eu"]\n\n[assumptions]'))
    out = {excluded.id: excluded.reason for excluded in plan.excluded}
    assert "stands in us-east-1, not in eu" in out["aws-c7a-large"]
    assert "keeps data in eu" in out["openai/gpt-4o-mini"]
    assert [option.id for option in plan.options] == ["cpu-1p-8c"]


def test_an_evaluation_file_takes_a_weak_model_out(tmp_path: Path) -> None:
    plan = planned(
        tmp_path,
        ('profile = "profile.json"', 'profile = "profile.json"\nevaluations = "results.csv"'),
        ("[assumptions]", "[requirements]\nmin_pass_rate_frac = 0.6\n\n[assumptions]"),
    )
    assert "passed 40 of 100 (ours), below the minimum of 60%" in dict((e.id, e.reason) for e in plan.excluded).get(
        "openai/gpt-4o-mini", ""
    )
    assert ("evaluations", "results.csv") in [(file.role, file.path) for file in plan.files]


def test_two_results_of_one_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="more than one result of self-hosted"):
        planned(
            tmp_path,
            ('profile = "profile.json"', 'profile = "profile.json"\nevaluations = "results.csv"'),
            evaluations=EVALUATIONS + "self-hosted,other,1,2\n",
        )


def test_weights_score_what_is_not_money_and_change_no_cost(tmp_path: Path) -> None:
    """Quality twice, data once: the API (0.4 * 2 + 0) / 3, owning (0.9 * 2 + 1) / 3; 989.442 USD for 6.57 M requests of
    which 40 % pass are 0.3765 USD a thousand passed.
    """
    named = ('profile = "profile.json"', 'profile = "profile.json"\nevaluations = "results.csv"')
    weighed = planned(tmp_path, named, ("[assumptions]", '[weights]\nquality = 2\n"data stays" = 1\n\n[assumptions]'))
    rows = {row.option: row for row in weighed.matrix}
    assert rows["openai/gpt-4o-mini"].score == pytest.approx(0.8 / 3)
    assert rows["cpu-1p-8c"].score == pytest.approx(2.8 / 3)
    assert rows["openai/gpt-4o-mini"].usd_per_1000_passed_requests == pytest.approx(989.442 / 6_570_000 / 0.4 * 1000)
    assert [row.usd_per_month for row in weighed.matrix] == [o.levelised_usd_per_month for o in weighed.options]
    assert planned(tmp_path, named).matrix[0].score is None
