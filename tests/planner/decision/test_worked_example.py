"""The demo's money on paper: log -> tokens -> API bill; log -> replicas -> monthly cost of renting and owning.

The log: one request every 0.4 s, so 2.5 requests/s or 2.5 * 86,400 = 216,000 a day; 1,000 tokens in, 1 out.
A month has 730 h: 216,000 / 24 * 730 = 6,570,000 requests.

API, gpt-4o-mini at 0.15 and 0.60 USD per million tokens:
    input   6,570,000 * 1,000 / 1e6 = 6,570.00 Mtok * 0.15 = 985.500
    output  6,570,000 *     1 / 1e6 =     6.57 Mtok * 0.60 =   3.942
                                                     total = 989.442 USD a month

Replicas: one request takes 1,000 * 0.001 s = 1 s of a replica that serves one at a time, and must end within 1.5 s.
Evenly spaced requests at 2.5/s need 2.5 replicas, so 3, and 1 spare: 4.

Rent, 1 replica per machine: 4 machines * 730 h * 0.10264 = 299.7088; staff 0.1 * 120,000 / 12 = 1,000.
                                                     total = 1,299.7088 USD a month

Own, 2 replicas per machine: 4 / 2 = 2 machines.
    hardware     2 * 2,400 / 48 months             = 100.0000
    network      10 % of that                      =  10.0000
    power        busy 2.5 s per s / 2 replicas a machine = 1.25 machines
                 (2 * 50 W + 1.25 * (150 W - 50 W)) = 225 W * 1.5 PUE * 730 h / 1000 = 246.375 kWh * 0.10 = 24.6375
    colocation   2 * 0.150 kW * 200                =  60.0000
    support      2 * 2,400 * 0.12 / 12             =  48.0000
    staff        0.1 * 120,000 / 12                = 1,000.0000
                                                     total = 1,242.6375 USD a month

Break-even of owning against the API, n requests a month on m machines: a machine costs 50 + 5 + 24 + 30 and
50 W * 1.5 * 0.73 * 0.10 = 5.475, so 114.475 a month; a request burns 1 s / 2 * 100 W * 1.5 = 75 J = 75 / 3.6e6 kWh
* 0.10 = 2.08333e-6 USD and costs 1.506e-4 USD at the API.
    1,000 + 114.475 m + 2.08333e-6 n = 1.506e-4 n  ->  n = (1,000 + 114.475 m) / 1.48516667e-4
    m = 2: n = 8,274,842 = 3.149/s: needs 4 + 1 replicas, which 2 machines do not carry
    m = 3: n = 9,045,618 = 3.442/s: needs 4 + 1 replicas, 3 machines do -> 297,390.2 requests a day
"""

import pytest
from plan_case import SCENARIO, write_case

from planner.decision.decide import make_plan, size_fleets
from planner.decision.plan import OptionResult, Plan
from planner.scenario.load import load_inputs


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    inputs = load_inputs(write_case(tmp_path_factory.mktemp("worked")))
    return make_plan(inputs, size_fleets(inputs))


def by_category(option: OptionResult, month: int) -> dict[str, float]:
    totals: dict[str, float] = {}
    for line in option.lines:
        if line.month == month:
            totals[line.category] = totals.get(line.category, 0.0) + line.pnl_usd
    return totals


def option(plan: Plan, option_id: str) -> OptionResult:
    return next(option for option in plan.options if option.id == option_id)


def test_api_bill(plan: Plan) -> None:
    bill = option(plan, "openai/gpt-4o-mini")
    items = {line.item: line.pnl_usd for line in bill.lines if line.month == 7}
    assert items == pytest.approx({"input tokens": 985.50, "output tokens": 3.942}, abs=1e-9)
    assert bill.levelised_usd_per_month == pytest.approx(989.442, abs=1e-9)
    assert bill.usd_per_mtok == pytest.approx(989.442 / (6_570 + 6.57), rel=1e-12)
    assert (bill.usd_per_mtok_input, bill.usd_per_mtok_output) == pytest.approx((0.15, 0.60))


def test_rent(plan: Plan) -> None:
    rent = option(plan, "aws-c7a-large")
    assert rent.fleet is not None
    assert rent.fleet.peak_machines == 4
    assert by_category(rent, 1) == pytest.approx({"rent": 299.7088, "staff": 1000.0}, abs=1e-9)
    assert rent.levelised_usd_per_month == pytest.approx(1299.7088, abs=1e-9)
    # this replica spends all its time on prompts, so the tokens it generates cost nothing
    assert rent.usd_per_mtok_input == pytest.approx(1299.7088 / 6_570)
    assert rent.usd_per_mtok_output == pytest.approx(0.0, abs=1e-9)


def test_own(plan: Plan) -> None:
    own = option(plan, "cpu-1p-8c")
    assert own.fleet is not None
    assert own.fleet.peak_machines == 2
    assert by_category(own, 1) == pytest.approx(
        {"depreciation": 110.0, "power": 24.6375, "colocation": 60.0, "support": 48.0, "staff": 1000.0}, abs=1e-6
    )
    assert own.pnl_total_usd == pytest.approx(48 * 1242.6375, abs=1e-3)
    assert own.levelised_usd_per_month == pytest.approx(1242.6375, abs=1e-4)


def test_cash_and_pnl_are_two_views_of_the_same_money(plan: Plan) -> None:
    own = option(plan, "cpu-1p-8c")
    assert own.cash_by_month_usd[0] == pytest.approx(2 * 2400 * 1.1)
    assert own.pnl_by_month_usd[0] == 0.0
    assert own.cash_total_usd == pytest.approx(own.pnl_total_usd, rel=1e-12)


def test_break_even(plan: Plan) -> None:
    found = plan.break_even
    assert found is not None
    assert [crossing.self_host_cheaper_above for crossing in found.crossings] == [True]
    assert found.crossings[0].requests_per_day == pytest.approx(297_390.2, abs=0.1)


def test_the_verdict_says_it(plan: Plan) -> None:
    said = plan.verdict.paragraph
    assert plan.verdict.headline == (
        "Buy tokens: openai/gpt-4o-mini costs $253 a month less than owning cpu-1p-8c (2 machines)."
    )
    assert "$989 a month" in said
    assert "$1,243" in said
    assert "297 k requests/day (138% of the plan)" in said
    assert "staff (FTE) 0.05 to 0.3" in said
    assert "random weights" in said
    assert "breakeven measure --gguf" in said


def test_owning_never_pays_back_at_this_volume_and_renting_lays_out_nothing_it_gets_back(plan: Plan) -> None:
    own, rent = option(plan, "cpu-1p-8c").investment, option(plan, "aws-c7a-large").investment
    assert own is not None
    assert rent is not None
    assert own.payback_month is None
    assert own.npv_saved_usd == pytest.approx(48 * (989.442 - 1242.6375), abs=0.01)  # the discount rate is 0 here
    assert rent.irr_frac_per_year is None


def test_at_four_times_the_volume_owning_pays_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    """864,000 requests/day are 10/s: 10 + 1 replicas on 6 machines bought for 6 * 2,400 * 1.1 = 15,840 USD.

    The API costs 4 * 989.442 = 3,957.768 a month. Owning costs, without the purchase, 1,000 staff + 6 * (24 + 30 +
    5.475) + 26,280,000 * 2.08333e-6 = 1,000 + 356.85 + 54.75 = 1,411.60: it saves 2,546.168 a month, so the outlay is
    back after 15,840 / 2,546.168 = 6.2211 months.
    """
    scenario = SCENARIO.replace("requests_per_day = 216_000", "requests_per_day = 864_000")
    inputs = load_inputs(write_case(tmp_path_factory.mktemp("four"), scenario))
    own = option(make_plan(inputs, size_fleets(inputs)), "cpu-1p-8c")
    assert own.fleet is not None
    assert own.fleet.peak_machines == 6
    assert own.investment is not None
    assert own.investment.payback_month == pytest.approx(15_840 / 2_546.168, abs=1e-4)
    assert own.investment.discounted_payback_month == own.investment.payback_month
    assert own.investment.irr_frac_per_year is not None
