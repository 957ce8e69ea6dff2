"""Negotiated prices and promised spends in a plan, worked from the worked example (989.442 USD a month)."""

import hashlib
import json
from pathlib import Path

import pytest
from plan_case import SCENARIO, write_case

from planner.decision.decide import make_plan, size_fleets
from planner.decision.plan import Plan
from planner.errors import InputError
from planner.export.directory import plan_files
from planner.scenario.load import load_inputs

WHY = 'source = "Contract 4711"\nas_of = 2026-11-01\n'


def plan_with(directory: Path, prices: str, requests_per_day: int = 216_000) -> Plan:
    scenario = SCENARIO.replace("profile =", 'own_prices = "prices.toml"\nprofile =')
    (directory / "prices.toml").write_text(prices)
    inputs = load_inputs(write_case(directory, scenario.replace("216_000", str(requests_per_day))))
    return make_plan(inputs, size_fleets(inputs))


def api_usd(plan: Plan) -> float:
    assert plan.best_api is not None
    return plan.best_api.levelised_usd_per_month


def test_a_discount_comes_off_every_month(tmp_path: Path) -> None:
    plan = plan_with(tmp_path, f'[[discount]]\ntarget = "openai"\npercent = 20\n{WHY}')
    assert api_usd(plan) == pytest.approx(0.8 * 989.442)
    assert [file.role for file in plan.files] == ["request log", "profile", "own prices"]


def test_a_commitment_that_is_not_used_up_is_paid_all_the_same(tmp_path: Path) -> None:
    """Promised 1,500, used 989.442: the missing 510.558 is paid, and owning at 1,242.6375 becomes cheaper.

    It is so from no traffic on: one machine and the staff cost 1,114.475, and the API no less than 1,500.
    """
    promise = f'[[commitment]]\nkind = "minimum-spend"\nid = "floor"\ntargets = ["openai"]\nusd_per_month = 1500\n{WHY}'
    plan = plan_with(tmp_path, promise)
    assert api_usd(plan) == pytest.approx(1500.0)
    assert plan.best_api is not None
    short = [line for line in plan.best_api.lines if line.category == "commitment"]
    assert [line.cash_usd for line in short] == pytest.approx([510.558] * 48)
    assert plan.options[0].id == "cpu-1p-8c"
    assert plan.break_even is not None
    assert plan.break_even.crossings == () or plan.break_even.crossings[0].requests_per_day > 216_000


def test_a_commitment_that_is_used_up_costs_nothing_more(tmp_path: Path) -> None:
    promise = f'[[commitment]]\nkind = "minimum-spend"\nid = "floor"\ntargets = ["openai"]\nusd_per_month = 900\n{WHY}'
    assert api_usd(plan_with(tmp_path, promise)) == pytest.approx(989.442)


def test_a_commitment_ends_with_its_window(tmp_path: Path) -> None:
    promise = (
        '[[commitment]]\nkind = "minimum-spend"\nid = "floor"\ntargets = ["openai/gpt-4o-mini"]\nusd_per_month = 1500\n'
        f"to_date = 2027-12-01\n{WHY}"
    )
    plan = plan_with(tmp_path, promise)
    assert plan.best_api is not None
    assert plan.best_api.cash_by_month_usd[12] == pytest.approx(1500.0)  # 2027-11
    assert plan.best_api.cash_by_month_usd[13] == pytest.approx(989.442)


def test_prepaid_credit_is_paid_first_and_used_up_over_the_months(tmp_path: Path) -> None:
    """2,500 of credit for 2,000: 989.442 and 989.442 used, then 521.116; cash of month 3 is 468.326."""
    prepaid = (
        '[[commitment]]\nkind = "prepaid"\nid = "credit"\ntargets = ["openai"]\npaid_usd = 2000\ncredit_usd = 2500\n'
        f"bought_on = 2026-12-01\nexpires_on = 2027-12-01\n{WHY}"
    )
    plan = plan_with(tmp_path, prepaid)
    assert plan.best_api is not None
    assert plan.best_api.cash_by_month_usd[1:5] == pytest.approx((2000.0, 0.0, 468.326, 989.442))
    assert plan.best_api.pnl_by_month_usd[1:4] == pytest.approx((791.5536, 791.5536, 521.116 * 0.8 + 468.326))
    assert plan.best_api.cash_total_usd == pytest.approx(48 * 989.442 - 500)
    assert plan.best_api.pnl_total_usd == pytest.approx(48 * 989.442 - 500)


def test_provisioned_units_that_carry_everything_replace_the_bill(tmp_path: Path) -> None:
    """216,000 requests a day of 1,000 tokens in and 1 out are 150,600 tokens a minute at output weight 4.

    Two units of 100,000 carry them all: 2 * 0.5 USD * 730 h = 730 USD a month and nothing per token. One carries
    100,000 of 150,600: 365 USD and 989.442 * 50,600 / 150,600 = 332.443 USD.
    """
    for units, expected in ((2, 730.0), (1, 365.0 + 989.442 * 50_600 / 150_600)):
        reserved = (
            f'[[commitment]]\nkind = "provisioned"\nid = "ptu"\nmodel = "openai/gpt-4o-mini"\nunits = {units}\n'
            f"usd_per_unit_h = 0.5\ntokens_per_min = 100_000\noutput_weight = 4.0\n{WHY}"
        )
        assert api_usd(plan_with(tmp_path, reserved)) == pytest.approx(expected)


def test_two_provisioned_commitments_for_one_model_at_once_are_refused(tmp_path: Path) -> None:
    reserved = "".join(
        f'[[commitment]]\nkind = "provisioned"\nid = "{name}"\nmodel = "openai/gpt-4o-mini"\nunits = 1\n'
        f"usd_per_unit_h = 0.5\ntokens_per_min = 100_000\noutput_weight = 4.0\n{WHY}"
        for name in ("one", "two")
    )
    with pytest.raises(InputError, match="one and two for openai/gpt-4o-mini both hold in 2026-12"):
        plan_with(tmp_path, reserved)


MIXED = (
    f'[[discount]]\ntarget = "openai"\npercent = 20\n{WHY}'
    f'[[rate]]\nmodel = "openai/gpt-4o-mini"\nusd_per_mtok = {{ output = 0.4 }}\nfrom_date = 2027-01-01\n{WHY}'
    f'[[commitment]]\nkind = "minimum-spend"\nid = "floor"\ntargets = ["openai"]\nusd_per_month = 1500\n{WHY}'
)


def test_every_api_line_says_layer_source_and_date_of_its_month(tmp_path: Path) -> None:
    plan = plan_with(tmp_path, MIXED)
    assert plan.best_api is not None
    said = {(line.item, line.month): line.basis for line in plan.best_api.lines}
    library = "library: genai-prices 0.2.3, as of 2026-11-20"
    discount = "discount: Contract 4711 (20 % off openai), as of 2026-11-01"
    drift = "USD/million tokens times api_price_drift_frac_per_year"
    assert said["input tokens", 2] == f"openai/gpt-4o-mini; {library}; {discount}; 0.12 {drift}"
    url = "https://developers.openai.com/api/docs/pricing"
    assert said["output tokens", 1] == f"openai/gpt-4o-mini; {library}; {discount}; {url}; 0.48 {drift}"
    assert said["output tokens", 2] == (
        f"openai/gpt-4o-mini; organisation: Contract 4711 (sets output), as of 2026-11-01; 0.4 {drift}"
    )
    assert said["shortfall of minimum spend floor", 1] == "commitment: Contract 4711, as of 2026-11-01"


def test_a_plan_on_its_own_lock_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The price file and the library may change or vanish: rates and commitments come from the lock."""
    first = plan_files(plan_with(tmp_path, MIXED))
    (tmp_path / "prices.toml").unlink()
    (tmp_path / "frozen.json").write_bytes(first["prices.lock.json"])
    scenario = SCENARIO.replace("profile =", 'price_lock = "frozen.json"\nprofile =')
    write_case(tmp_path, scenario)
    monkeypatch.setattr("pricing.rates.find_model", None)  # whoever asks the library now fails
    inputs = load_inputs(tmp_path)
    again = plan_files(make_plan(inputs, size_fleets(inputs)))
    for name in ("verdict.json", "costs.csv", "assumptions.csv", "hourly.csv", "prices.lock.json"):
        assert again[name] == first[name], name
    manifest = json.loads(again["manifest.json"])
    assert manifest["outputs"]["prices.lock.json"] == hashlib.sha256(first["prices.lock.json"]).hexdigest()


def test_own_prices_over_a_lock_that_holds_them_would_count_twice(tmp_path: Path) -> None:
    (tmp_path / "frozen.json").write_bytes(plan_files(plan_with(tmp_path, MIXED))["prices.lock.json"])
    both = SCENARIO.replace("profile =", 'own_prices = "prices.toml"\nprice_lock = "frozen.json"\nprofile =')
    with pytest.raises(InputError, match="the lock holds own prices already"):
        load_inputs(write_case(tmp_path, both))


def test_a_quote_is_a_candidate_like_any_other(tmp_path: Path) -> None:
    """0.05 USD an hour instead of 0.10264: one machine and the staff, and the table's machine is not touched."""
    (tmp_path / "quotes.csv").write_text(
        "id,kind,name,provider,cores,ram_gib,accelerator,accelerators,currency,price_low,price_mid,price_high,source,"
        "quoted_on\nmine,rental,small box,a host,2,4,,,USD,0.05,0.05,0.05,quote 7,2026-11-19\n"
    )
    scenario = SCENARIO.replace("profile =", 'quotes = "quotes.csv"\nprofile =').replace("aws-c7a-large", "mine")
    scenario = scenario.replace('"mine/usd_per_h" = 0.10264\n', "")
    inputs = load_inputs(write_case(tmp_path, scenario))
    rented = next(option for option in make_plan(inputs, size_fleets(inputs)).options if option.id == "mine")
    rent = next(line for line in rented.lines if line.category == "rent")
    assert rent.unit_price_usd == pytest.approx(0.05)
    assert rent.basis == "mine/usd_per_h, a host, 2026-11-19, times rental_price_drift_frac_per_year"
    assert [file.role for file in inputs.files] == ["request log", "profile", "quotes"]


def test_a_rate_of_the_scenario_beats_the_price_file_and_says_so(tmp_path: Path) -> None:
    """Input at 0.30 instead of 0.15: 6.57 M requests of 1,000 * 0.30 + 1 * 0.60 USD per million are 1,974.942 USD."""
    own = f'[[rate]]\nmodel = "openai/gpt-4o-mini"\nusd_per_mtok = {{ input = 0.20, output = 0.60 }}\n{WHY}'
    (tmp_path / "prices.toml").write_text(own)
    stated = '\n[[rates]]\nmodel = "openai/gpt-4o-mini"\nusd_per_mtok = { input = 0.30 }\n'
    stated += 'source = "what if"\nas_of = 2026-11-20\n'
    scenario = SCENARIO.replace("profile =", 'own_prices = "prices.toml"\nprofile =') + stated
    inputs = load_inputs(write_case(tmp_path, scenario))
    plan = make_plan(inputs, size_fleets(inputs))
    assert api_usd(plan) == pytest.approx(1974.942)
    assert any("what if" in line.basis for option in plan.options for line in option.lines)


def test_a_workload_may_be_drawn_from_the_catalogue(tmp_path: Path) -> None:
    inputs = load_inputs(write_case(tmp_path, SCENARIO.replace('"log.csv"', '"preset:interactive-chat"')))
    again = load_inputs(tmp_path)
    assert inputs.workload.requests == 10_000
    assert inputs.files[0].path == "preset:interactive-chat"
    assert inputs.files == again.files


@pytest.mark.parametrize(
    ("said", "usd", "asked", "out"),
    [("", 986.442, True, False), ("true", 986.442, False, False), ("false", 989.442, False, True)],
)
def test_free_tokens_for_shared_data_need_the_permission(
    tmp_path: Path, said: str, usd: float, asked: bool, out: bool
) -> None:
    """216,000 requests of 1,000 + 1 tokens a day: a free share of 3 / 989.442 takes 3 USD off the month."""
    tokens = round(216_000 * 1001 * 3 / 989.442)
    quota = f'targets = ["openai"]\ntokens_per_day = {tokens}\nshares_data = true\n{WHY}'
    (tmp_path / "prices.toml").write_text(f'[[commitment]]\nkind = "free-quota"\nid = "shared"\n{quota}')
    scenario = SCENARIO.replace("profile =", 'own_prices = "prices.toml"\nprofile =')
    if said:
        scenario += f"\n[requirements]\nmay_share_data = {said}\n"
    inputs = load_inputs(write_case(tmp_path, scenario))
    plan = make_plan(inputs, size_fleets(inputs))
    assert api_usd(plan) == pytest.approx(usd, abs=0.01)
    assert any("may_share_data" in sentence for sentence in plan.questions) == asked
    assert [e.id for e in plan.excluded if "may_share_data" in e.reason] == (["shared"] if out else [])
