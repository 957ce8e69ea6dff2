"""The words are made from the numbers, for every way the numbers can fall."""

import dataclasses

import pytest
from plan_case import SCENARIO, write_case

from planner.analysis.breakeven import BreakEven, ClosestApproach, Crossing
from planner.cost.options import OptionKind
from planner.decision.cautions import cautions
from planner.decision.decide import make_plan, size_fleets
from planner.decision.plan import Plan
from planner.decision.verdict import break_even_in_words, make_verdict
from planner.decision.wording import describe
from planner.scenario.load import load_inputs
from planner.steptime.reference import reference_profile

NONE = BreakEven(
    searched_from=1e3,
    searched_to=1e9,
    crossings=(),
    always_cheaper=False,
    low=None,
    high=None,
    worlds=9,
    worlds_without=9,
    closest=None,
)


def planned(directory: object, *changes: tuple[str, str]) -> Plan:
    scenario = SCENARIO
    for old, new in changes:
        assert old in scenario
        scenario = scenario.replace(old, new)
    inputs = load_inputs(write_case(directory, scenario))  # type: ignore[arg-type]
    return make_plan(inputs, size_fleets(inputs))


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return planned(tmp_path_factory.mktemp("verdict"))


def crossing(requests_per_day: float, above: bool = True) -> Crossing:
    return Crossing(requests_per_day=requests_per_day, self_host_cheaper_above=above)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (NONE, "At no volume up to 1 G requests/day does self-hosting cost less."),
        (
            dataclasses.replace(NONE, closest=ClosestApproach(requests_per_day=2e6, cost_ratio=1.234)),
            "At no volume up to 1 G requests/day does self-hosting cost less; it comes closest at 2 M requests/day, "
            "where it costs 1.23 times the API.",
        ),
        (
            dataclasses.replace(NONE, always_cheaper=True),
            "Self-hosting is cheaper at every volume from 1 k requests/day on.",
        ),
        (
            dataclasses.replace(NONE, crossings=(crossing(5e4),)),
            "Break-even is at 50 k requests/day (50% of the plan): self-hosting is cheaper above it.",
        ),
        (
            dataclasses.replace(NONE, crossings=(crossing(3e5, above=False),)),
            "Break-even is at 300 k requests/day (3.0 times the plan): self-hosting is cheaper below it.",
        ),
        (
            dataclasses.replace(NONE, crossings=(crossing(1.2e6), crossing(1.3e6, above=False), crossing(1.5e6))),
            "Break-even is a range, because machines are whole: from 1.2 M (12.0 times the plan) to 1.5 M requests/day "
            "the cheaper side changes 3 times, for good above it.",
        ),
    ],
)
def test_every_kind_of_break_even_has_its_sentence(found: BreakEven, said: str) -> None:
    assert break_even_in_words(found, 1e5) == said


def test_a_range_with_and_without_an_upper_end(plan: Plan) -> None:
    closed = dataclasses.replace(NONE, crossings=(crossing(3e5),), low=1e5, high=9e5, worlds_without=0)
    said = make_verdict(dataclasses.replace(plan, break_even=closed)).paragraph
    assert "break-even stays between 100 k and 900 k requests/day" in said
    opened = dataclasses.replace(closed, high=None, worlds_without=2)
    said = make_verdict(dataclasses.replace(plan, break_even=opened)).paragraph
    assert "starts at 100 k requests/day soonest; in 2 of 9 such cases there is none" in said


def test_self_hosting_wins_and_its_fleet_is_judged(tmp_path: object) -> None:
    """At ten times the volume the API costs 9,894.42 a month.

    Owning takes 25 replicas, 26 because the capacity search rounds a rate down by up to 1 %, and a spare: 14 machines,
    1,000 + 14 * 114.475 + 65.7 M * 2.08333e-6 = 2,739.525 a month.
    """
    volume = ("requests_per_day = 216_000", "requests_per_day = 2_160_000")
    plan = planned(tmp_path, volume, ("[[candidates.rent]]", "hybrid = false\n\n[[candidates.rent]]"))
    assert plan.verdict.headline == (
        "Host it yourself: owning cpu-1p-8c (14 machines) costs $7,155 a month less than openai/gpt-4o-mini."
    )
    assert "holds the service level at the first month's peak in all of the draws" in plan.verdict.paragraph
    assert "3.6 times as much" in plan.verdict.paragraph


def test_a_mix_that_does_not_pay_is_told_with_its_cost(tmp_path: object) -> None:
    """At ten times the volume the bursts that 13 machines leave to the API cost more than the fourteenth machine."""
    plan = planned(tmp_path, ("requests_per_day = 216_000", "requests_per_day = 2_160_000"))
    told = {excluded.id: excluded.reason for excluded in plan.excluded}
    assert "machines of cpu-1p-8c with " in told["a mix of both"]
    assert "not less than owning cpu-1p-8c (14 machines) alone" in told["a mix of both"]
    assert "which is not 2% less than owning cpu-1p-8c (14 machines) alone" in told["a mix of offers"]


def test_staged_wins_where_traffic_grows(tmp_path: object) -> None:
    plan = planned(tmp_path, ("requests_per_day = 216_000", "requests_per_day = 50_000\ngrowth_frac_per_month = 0.08"))
    assert plan.options[0].kind == "staged"
    assert plan.verdict.headline.startswith("Start with tokens: openai/gpt-4o-mini for ")
    assert any("answers with two models" in caution for caution in plan.verdict.cautions)


def test_machines_of_several_offers_that_are_cheaper_are_not_passed_over(plan: Plan) -> None:
    api, host = plan.best_api, plan.best_self_host
    assert api is not None
    assert host is not None
    cost = host.levelised_usd_per_month
    mix = dataclasses.replace(host, id="x + y", kind=OptionKind.MIX, fleet=None, levelised_usd_per_month=cost - 100)
    dear = dataclasses.replace(api, levelised_usd_per_month=cost - 50)
    said = make_verdict(dataclasses.replace(plan, options=(mix, dear, host))).paragraph
    assert "are for machines of one offer; x + y together cost" in said
    assert f"$100 less than {describe(host)}, and less than {api.id} at the planned volume already." in said
    cheap = dataclasses.replace(api, levelised_usd_per_month=cost - 200)
    said = make_verdict(dataclasses.replace(plan, options=(cheap, mix, host))).paragraph
    assert "The cheapest self-hosted option on one offer" in said
    assert "at the planned volume already" not in said
    assert "together cost" not in make_verdict(plan).paragraph


def test_a_fit_that_is_too_weak_is_said_where_the_sureness_is(plan: Plan) -> None:
    (key,) = plan.profiles
    fit = dataclasses.replace(plan.profiles[key].fit, held_out_tpot_error_frac=0.83)
    weak = dataclasses.replace(plan.profiles[key], fit=fit)
    assert fit.held_out_error_frac == 0.83
    said = {point.about: point.says for point in make_verdict(dataclasses.replace(plan, profiles={key: weak})).points}
    assert "was off by 83% on load points" in said["How sure"]
    assert "was off by" not in plan.verdict.paragraph


def test_the_list_says_each_thing_under_its_heading(plan: Plan) -> None:
    says = {point.about: point.says for point in plan.verdict.points}
    assert list(says) == [
        *("What it costs", "From what volume", "How sure", "What would change it", "What it does not say")
    ]
    assert "$989 a month" in says["What it costs"]
    assert "297 k requests/day" in says["From what volume"]
    assert "P10 to P90" in says["How sure"]
    assert "staff (FTE) 0.05 to 0.3" in says["What would change it"]
    assert "about money only" in says["What it does not say"]
    assert " ".join(says.values()) == plan.verdict.paragraph


def test_an_assumption_that_turns_the_answer_is_named(plan: Plan) -> None:
    assert "staff (FTE) alone would turn the answer" in plan.verdict.paragraph
    assert "The next figure from your own books to get is staff (FTE)" in plan.verdict.paragraph


def test_the_log_that_is_too_short_for_days_says_so(plan: Plan) -> None:
    assert plan.verdict.cautions[0].startswith("The log covers 3 minutes and can carry no claim about days")
    assert any("resale (part of book value)" in caution for caution in plan.verdict.cautions)


def test_a_profile_that_was_read_in_says_whose_it_is_and_how_far_off(plan: Plan) -> None:
    assert not any("read in" in text for text in cautions(plan))
    foreign = reference_profile("llama-3.1-70b/h100_sxm/fp8/vllm/tp8")
    other = dataclasses.replace(plan, profiles=dict.fromkeys(plan.profiles, foreign))
    said = [text for text in cautions(other) if "read in" in text]
    assert len(said) == len(plan.profiles)
    assert "someone else's measurement" in said[0]
    assert "with vllm, version unknown, measured 2025-10-29" in said[0]
    assert "off by TPOT 2% and TTFT 27%" in said[0]
