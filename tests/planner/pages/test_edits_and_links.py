"""Edits in tables and links: what they make of a scenario, and what they refuse."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError
from planner.pages.edits import edited_figure, edited_machine, edited_rates
from planner.pages.link import KEPT, MAX_LINK_CHARACTERS, MOST_KEPT, fingerprint, from_query, kept_from_query, to_query
from planner.scenario.tables import Machine, Scenario, StatedRate, figure
from planner.scenario.toml_file import load_scenario

TODAY = date(2026, 11, 20)
ROW = {"low": 1.0, "mid": 2.0, "high": 3.0, "source": "somebody"}


@pytest.fixture(scope="module")
def base(repository: Path) -> Scenario:
    return load_scenario(repository / "examples")


def test_a_moved_best_guess_stretches_its_span() -> None:
    moved = edited_figure(ROW, {"mid": 5.0}, TODAY)
    assert (moved.low, moved.mid, moved.high, moved.source, moved.as_of) == (
        *(1.0, 5.0, 5.0),
        *("set in the dashboard", "2026-11-20"),
    )


@pytest.mark.parametrize("edit", [{"low": 2.5}, {"high": 1.5}, {"mid": None}, {"mid": 4.0, "high": 3.5}])
def test_numbers_that_are_no_range_are_refused(edit: dict[str, float | None]) -> None:
    with pytest.raises(ValueError, match="low"):
        edited_figure(ROW, edit, TODAY)


def test_an_edited_rate_is_exact_and_a_cleared_one_is_taken_back() -> None:
    rates, refused = edited_rates((), {"a/b": {"input [USD/Mtok]": 0.1, "output [USD/Mtok]": 0.3}}, TODAY)
    assert rates[0].usd_per_mtok == {"input": Decimal("0.1"), "output": Decimal("0.3")}
    rates, refused = edited_rates(rates, {"a/b": {"input [USD/Mtok]": None}}, TODAY)
    assert rates[0].usd_per_mtok == {"output": Decimal("0.3")}
    rates, refused = edited_rates(rates, {"a/b": {"output [USD/Mtok]": None}}, TODAY)
    assert (rates, refused) == ((), [])


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), "free"])
def test_a_price_that_is_none_is_refused(value: object) -> None:
    rates, refused = edited_rates((), {"a/b": {"input [USD/Mtok]": value}}, TODAY)
    assert rates == ()
    assert "is no price" in refused[0]


def test_an_edited_machine_keeps_what_was_not_edited() -> None:
    machine = Machine(offer="x", replicas_per_machine=figure(2.0))
    assert edited_machine(machine, {"replicas, high": 4.0}, TODAY).replicas_per_machine.high == 4.0
    assert edited_machine(machine, {}, TODAY) is machine
    with pytest.raises(ValueError, match="low"):
        edited_machine(machine, {"replicas, low": 3.0}, TODAY)


CHANGES: list[Callable[[Scenario], Scenario]] = [
    lambda s: replace(s, horizon_months=12),
    lambda s: replace(s, slo=replace(s.slo, ttft_s=None, e2e_s=2.5)),
    lambda s: replace(s, name='null "quoted", 1.5 & more / ümlaut'),
    lambda s: replace(s, name="true"),
    lambda s: replace(s, workload=replace(s.workload, log="preset:code-completion", week_shape="flat")),
    lambda s: replace(s, profile="upload:0123456789ab:profile.json"),
    lambda s: replace(s, assumptions={"cpu-1p-32c/price_usd": figure(9000.0, source="a quote")}),
    lambda s: replace(s, candidates=replace(s.candidates, api=("openai/gpt-6-luna",), rent=(), hybrid=False)),
    lambda s: replace(
        s,
        rates=(StatedRate(model="a/b", usd_per_mtok={"input": Decimal("0.10")}, source="what if", as_of=TODAY),),
    ),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_link_gives_back_the_scenario(base: Scenario, change: Callable[[Scenario], Scenario]) -> None:
    wanted = change(base)
    query = to_query(base, wanted)
    assert query is not None
    assert from_query(base, query) == wanted


def test_the_scenario_itself_has_a_link_without_changes(base: Scenario) -> None:
    assert to_query(base, base) == {"base": fingerprint(base)}


def test_a_scenario_too_different_for_a_link_has_none(base: Scenario) -> None:
    assumptions = {f"invented/{n}": figure(1.0, source="x" * 50) for n in range(100)}
    assert to_query(base, replace(base, assumptions=assumptions)) is None
    with pytest.raises(InputError, match=f"longer than {MAX_LINK_CHARACTERS:,}"):
        from_query(base, {"name": "x" * 5000})


@pytest.mark.parametrize("key", ["workload.log", "profile", "own_prices", "price_lock", "quotes", "evaluations"])
@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.toml", "other.csv"])
def test_a_link_cannot_name_files_of_the_server(base: Scenario, key: str, path: str) -> None:
    with pytest.raises(InputError, match="does not use"):
        from_query(base, {"base": fingerprint(base), key: path})


def test_a_machine_of_a_link_cannot_name_a_profile_of_the_server(base: Scenario) -> None:
    own = '[{"offer":"cpu-1p-32c","replicas_per_machine":1,"profile":"/etc/passwd"}]'
    with pytest.raises(InputError, match="/etc/passwd"):
        from_query(base, {"candidates.own": own})


def test_kept_scenarios_travel_in_the_link(base: Scenario) -> None:
    kept = {f"No. {number} & more": change(base) for number, change in enumerate(CHANGES[:4])}
    wanted = replace(base, horizon_months=7)
    query = to_query(base, wanted, kept)
    assert query is not None
    assert kept_from_query(base, query) == kept
    assert from_query(base, query) == wanted
    assert kept_from_query(base, to_query(base, wanted) or {}) == {}


def test_kept_scenarios_that_make_the_link_too_long_stay_behind_and_the_open_one_does_not(base: Scenario) -> None:
    large = replace(base, assumptions={f"invented/{n}": figure(1.0, source="x" * 50) for n in range(100)})
    wanted = replace(base, horizon_months=7)
    query = to_query(base, wanted, {"small": wanted, "large": large})
    assert query == to_query(base, wanted)
    assert query is not None
    assert sum(map(len, (*query, *query.values()))) < MAX_LINK_CHARACTERS


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "is no scenario"),
        ("nonsense", "is no scenario"),
        ('{"workload.log":"/etc/passwd"}', "/etc/passwd"),
        ('{"evaluations":"/etc/passwd"}', "/etc/passwd"),
        ('{"horizon_months":[null]}', "no scenario can have"),
        ('{"horizon_months":0}', "horizon_months"),
        ('{"name":"\\ud800"}', "no scenario can have"),
    ],
)
def test_a_kept_scenario_of_a_link_is_refused_like_an_open_one(base: Scenario, text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        kept_from_query(base, {f"{KEPT}mine": text})


def test_a_link_keeps_no_more_scenarios_than_a_page_does(base: Scenario) -> None:
    with pytest.raises(InputError, match=f"{MOST_KEPT} can be"):
        kept_from_query(base, {f"{KEPT}{n}": "{}" for n in range(MOST_KEPT + 1)})


@pytest.mark.parametrize("value", ["[null]", '{"a":[null]}', '"\\ud800"', "[" * 900 + "]" * 900])
def test_a_value_that_no_scenario_can_have_is_refused_in_one_sentence(base: Scenario, value: str) -> None:
    with pytest.raises(InputError):
        from_query(base, {"name": value})


def test_a_link_to_another_scenario_is_refused(base: Scenario) -> None:
    with pytest.raises(InputError, match="changes another scenario"):
        from_query(base, {"base": "0123456789", "horizon_months": "12"})


@given(st.dictionaries(st.text(max_size=30), st.text(max_size=60), max_size=6))
def test_no_query_breaks_the_reader(base: Scenario, query: dict[str, str]) -> None:
    """Whatever stands in an address: a scenario, or one sentence."""
    with contextlib.suppress(InputError):
        assert from_query(base, query).schema_version == 1
