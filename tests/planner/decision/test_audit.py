"""Every headline is the sum of its lines, every line names inputs with a source; no plan overwrites another."""

from pathlib import Path

import pytest
from plan_case import SCENARIO, write_case

from planner.commands.plan import explained, refuse_another_plan
from planner.decision.audit import audit
from planner.decision.decide import make_plan, size_fleets
from planner.decision.plan import Plan
from planner.errors import InputError
from planner.scenario.load import load_inputs


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Discounted, so that the parts of a purchase are not those of its cash."""
    text = SCENARIO.replace("discount_rate_frac_per_year = 0", "discount_rate_frac_per_year = 0.09")
    inputs = load_inputs(write_case(tmp_path_factory.mktemp("audit"), text))
    return make_plan(inputs, size_fleets(inputs))


def test_the_lines_add_up_to_the_headline(plan: Plan) -> None:
    for option in plan.options:
        unfolded = audit(plan, option)
        total = sum(line.levelised_usd_per_month for line in unfolded.lines)
        assert total == pytest.approx(option.levelised_usd_per_month, rel=1e-12)
        assert sum(line.cash_usd for line in unfolded.lines) == pytest.approx(option.cash_total_usd)


def test_every_line_names_inputs_with_a_source(plan: Plan) -> None:
    names = {assumption.name for assumption in plan.assumptions}
    for option in plan.options:
        unfolded = audit(plan, option)
        for line in unfolded.lines:
            assert line.inputs, (option.id, line.item)
            assert set(line.inputs) <= names
        assert all(assumption.source for assumption in unfolded.assumptions)


def test_the_inputs_of_the_purchase_are_those_that_move_it(plan: Plan) -> None:
    own = next(option for option in plan.options if option.id == "cpu-1p-8c")
    lines = {(line.category, line.item): line for line in audit(plan, own).lines}
    bought = next(line for (category, _), line in lines.items() if category == "purchase")
    assert "cpu-1p-8c/price_usd" in bought.inputs
    assert "cpu-1p-8c/replicas_per_machine" in bought.inputs
    assert "requests_per_day" in bought.inputs
    assert lines["staff", "operating the service"].inputs == ("staff_fte", "staff_usd_per_fte_year")


def test_an_option_is_found_by_a_part_of_its_name(plan: Plan) -> None:
    assert explained(plan, "C7A").option == "aws-c7a-large"
    with pytest.raises(InputError, match="no option is called"):
        explained(plan, "nothing like it")


def test_a_plan_is_not_written_over_another_one(plan: Plan, tmp_path: Path) -> None:
    refuse_another_plan(plan, tmp_path)
    (tmp_path / "verdict.json").write_text('{"scenario": "worked example"}')
    refuse_another_plan(plan, tmp_path)
    (tmp_path / "verdict.json").write_text('{"scenario": "somebody else\'s"}')
    with pytest.raises(InputError, match="the plan of another scenario"):
        refuse_another_plan(plan, tmp_path)
    (tmp_path / "verdict.json").unlink()
    (tmp_path / "costs.csv").write_text("mine")
    with pytest.raises(InputError, match=r"costs\.csv that no plan wrote"):
        refuse_another_plan(plan, tmp_path)
