"""Small plans for the workbook, each with what it is there for, and the same plan in another world."""

import dataclasses
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import openpyxl
from plan_case import SCENARIO, write_case

from planner.cost.draws import draws_from, mid_values
from planner.cost.options import (
    ApiOption,
    HourStep,
    HybridOption,
    MixOption,
    OwnOption,
    Pool,
    RentOption,
    StagedOption,
)
from planner.decision.decide import make_plan, size_fleets
from planner.decision.plan import Plan
from planner.decision.results import option_result
from planner.ranges import certain
from planner.scenario.inputs import PlanInputs
from planner.scenario.load import load_inputs
from planner.workbook import workbook_xlsx
from planner.workload import WeekShape
from pricing.commitments import Commitment, MinimumSpend, PrepaidCredit, ProvisionedUnits

GROWING = (
    ("[candidates]", "[fleet]\nscale_by_hour = true\nboot_s = 600\n\n[candidates]"),
    ("requests_per_day = 216_000", 'requests_per_day = 40_000\nweek_shape = "servegen"\ngrowth_frac_per_month = 0.3'),
    ("[slo]", "cached_input_frac = { low = 0.0, mid = 0.2, high = 0.5 }\n\n[slo]"),
    ("discount_rate_frac_per_year = 0", "discount_rate_frac_per_year = 0.1\nresale_frac_of_book_value = 0.8"),
    ("api_price_drift_frac_per_year = 0", "api_price_drift_frac_per_year = -0.1"),
    ("rental_price_drift_frac_per_year = 0", "rental_price_drift_frac_per_year = 0.05"),
    ("throughput_ratio = 1", "throughput_ratio = 0.9"),
    ("low = 0.05, mid = 0.1, high = 0.3", "low = 0.01, mid = 0.02, high = 0.3"),
    ('price_usd" = 2400', 'price_usd" = 300'),
    ('life_years" = 4', 'life_years" = 0.25'),
    ('residual_frac" = 0', 'residual_frac" = 0.1'),
)
"""Days and nights, growth, cached input, drift, renewal within the horizon; mixes of both win."""

SIDE_COSTS = (
    (
        "throughput_ratio = 1",
        "throughput_ratio = 1\nstorage_usd_per_month = 40\negress_usd_per_mtok = 0.05\nevaluation_usd_per_year = 900\n"
        "fine_tuning_usd_per_year = 600\ntax_frac = 0.3\nnewer_model_gain_frac_per_year = 0.4\n"
        "newer_model_every_months = 2\nnewer_model_fte_months = 0.01",
    ),
    ("installation_frac_of_hardware = 0", "installation_frac_of_hardware = 0.05"),
    ("migration_fte_months = 0", "migration_fte_months = 0.03"),
    ("exit_fte_months = 0", "exit_fte_months = 0.02"),
)

PROMISES = """\
[[commitment]]
kind = "minimum-spend"
id = "floor"
targets = ["openai"]
usd_per_month = 300
source = "Contract 4711"
as_of = 2026-11-01

[[commitment]]
kind = "provisioned"
id = "units"
model = "openai/gpt-4o-mini"
units = 2
usd_per_unit_h = 0.05
tokens_per_min = 9_000
output_weight = 4.0
source = "Quote 18"
as_of = 2026-11-20
to_date = 2027-02-01

[[commitment]]
kind = "free-quota"
id = "free"
targets = ["openai/gpt-4o-mini"]
tokens_per_day = 4_000_000
source = "Programme"
as_of = 2026-11-20
from_date = 2027-01-01

[[commitment]]
kind = "prepaid"
id = "long"
targets = ["openai"]
paid_usd = 200
credit_usd = 260
bought_on = 2026-12-05
expires_on = 2027-12-01
source = "Order 17"
as_of = 2026-11-20

[[commitment]]
kind = "prepaid"
id = "short"
targets = ["openai"]
paid_usd = 90
credit_usd = 100
bought_on = 2027-01-10
expires_on = 2027-02-20
source = "Order 18"
as_of = 2026-11-20

[[commitment]]
kind = "kept-cache"
id = "cache"
model = "openai/gpt-4o-mini"
stored_tokens = 200_000
hours_per_month = 730
rates = [{ usd_per_mtok_h = "0.5", to_date = 2027-01-01 }, { usd_per_mtok_h = "0.7", from_date = 2027-01-01 }]
source = "Price page"
as_of = 2026-11-20
"""


def changed_text(*changes: tuple[str, str], horizon: int) -> str:
    """The scenario of `plan_case` over fewer months with some of its lines replaced."""
    text = SCENARIO
    for old, new in (("horizon_months = 48", f"horizon_months = {horizon}"), *changes):
        assert old in text, old
        text = text.replace(old, new)
    return text


@dataclass(frozen=True)
class Case:
    """A plan, what it was made from, and its workbook."""

    inputs: PlanInputs
    plan: Plan
    content: bytes

    def terms(self) -> dict[str, float]:
        """The cells of the terms that are others in the other world, with what they say there."""
        book = openpyxl.load_workbook(io.BytesIO(self.content), read_only=True)
        rows = enumerate(book["Commitments"].iter_rows(values_only=True), 1) if "Commitments" in book.sheetnames else ()
        return {f"Commitments!E{row}": OTHER_TERMS[str(v[3])] for row, v in rows if str(v[3]) in OTHER_TERMS}

    def own_values(self) -> dict[str, str]:
        """The cell for an own value by the name of the assumption."""
        sheet = openpyxl.load_workbook(io.BytesIO(self.content), read_only=True)["Inputs"]
        names = [row[1] for row in sheet.iter_rows(values_only=True)]
        return {str(name): f"Inputs!H{row}" for row, name in enumerate(names, start=1) if name}


def case_of(directory: Path, scenario: str, promises: str = "") -> Case:
    """Plan a scenario in `directory`."""
    if promises:
        (directory / "prices.toml").write_text(promises)
        scenario = scenario.replace('profile = "profile.json"', 'profile = "profile.json"\nown_prices = "prices.toml"')
    inputs = load_inputs(write_case(directory, scenario))
    plan = make_plan(inputs, size_fleets(inputs))
    return Case(inputs=inputs, plan=plan, content=workbook_xlsx(plan))


OTHER_TERMS = {"minimum": 900.0, "units": 3.0, "credit": 350.0}
"""What commitments say in the other world."""

OTHER_OFFERS = """
[[candidates.rent]]
offer = "nebius-h100-1-spot"
replicas_per_machine = 1

[[candidates.rent]]
offer = "reserved-3y-h100-sxm-8"
replicas_per_machine = 3

[[candidates.own]]"""


def every_kind(directory: Path, horizon: int) -> Case:
    """Every kind of option, every term of rent and every commitment in one plan.

    The mixes are put in by hand, so that none is missing where it does not pay; the week has three kinds of hours.
    """
    scenario = changed_text(
        *(change for change in GROWING if "throughput_ratio" not in change[0]),
        *SIDE_COSTS,
        ("[[candidates.own]]", OTHER_OFFERS.strip()),
        (
            '"aws-c7a-large/usd_per_h" = 0.10264',
            '"aws-c7a-large/usd_per_h" = 0.10\n"nebius-h100-1-spot/usd_per_h" = 0.07',
        ),
        ('"cpu-1p-8c/price_usd" = 300', '"cpu-1p-8c/price_usd" = 300\n"reserved-3y-h100-sxm-8/usd_per_h" = 0.2'),
        ("scale_by_hour = true", "scale_by_hour = true\nzones = 2"),
        horizon=horizon,
    )
    (directory / "prices.toml").write_text(PROMISES)
    scenario = scenario.replace('profile = "profile.json"', 'profile = "profile.json"\nown_prices = "prices.toml"')
    inputs = load_inputs(write_case(directory, scenario))
    by_hour = tuple(0.4 if hour % 24 < 8 else 1.6 if hour % 24 < 16 else 1.0 for hour in range(168))
    inputs = replace(inputs, week=WeekShape(name="three shifts", weights=by_hour, source="a test"))
    plan = make_plan(inputs, size_fleets(inputs))
    found = {option.id: option for option in plan.modelled}
    api, spot, day, reserved, own = (
        found[name]
        for name in (
            *("openai/gpt-4o-mini", "nebius-h100-1-spot", "aws-c7a-large", "reserved-3y-h100-sxm-8", "cpu-1p-8c"),
        )
    )
    assert isinstance(api, ApiOption)
    assert isinstance(spot, RentOption)
    assert isinstance(day, RentOption)
    assert isinstance(reserved, RentOption)
    assert isinstance(own, OwnOption)
    assert day.curve.spill
    held = day.curve.max_requests_per_s
    options = (
        *(api, spot, day, reserved, own),
        HybridOption(host=day, api=api, machines=1),
        HybridOption(host=replace(own, curve=replace(own.curve, spill=())), api=api, machines=1),
        StagedOption(api=api, host=spot, api_months=1),
        StagedOption(api=api, host=own, api_months=2),
        MixOption(
            base=(Pool(host=own, machines_by_stage=(1,)),),
            hourly=(day,),
            steps=tuple(HourStep(held_per_s=rate, replicas=(n,)) for n, rate in enumerate((0.0, *held[:3]), start=1)),
            spare_of=own.id,
        ),
        MixOption(
            base=(Pool(host=reserved, machines_by_stage=(1,)), Pool(host=own, machines_by_stage=(1,))),
            hourly=(),
            steps=(HourStep(held_per_s=0.0, replicas=()),),
            spare_of=own.id,
        ),
    )
    mid = draws_from([mid_values(plan.assumptions)])
    results = tuple(option_result(option, plan.frame, mid, inputs) for option in options)
    plan = replace(plan, modelled=options, options=results)
    return Case(inputs=inputs, plan=plan, content=workbook_xlsx(plan))


def in_another_world(case: Case, changes: Mapping[str, float], api_price_factor: float = 1.0) -> Plan:
    """The same options in the same order with other assumptions, every number of theirs by the engine.

    Its workbook has a cell for each cell of the first one, and carries what the planner gives for the changes.
    """
    plan = case.plan
    assumptions = tuple(
        dataclasses.replace(a, value=certain(changes[a.name])) if a.name in changes else a for a in plan.assumptions
    )
    mid = draws_from([mid_values(assumptions)])
    modelled = tuple(
        _dearer(option, api_price_factor)
        if isinstance(option, ApiOption)
        else replace(option, api=_dearer(option.api, api_price_factor))
        if isinstance(option, HybridOption | StagedOption)
        else option
        for option in plan.modelled
    )
    by_id = {option.id: option for option in modelled}
    return replace(
        plan,
        assumptions=assumptions,
        modelled=modelled,
        options=tuple(option_result(by_id[o.id], plan.frame, mid, case.inputs) for o in plan.options),
    )


def _dearer(api: ApiOption, factor: float) -> ApiOption:
    """Other prices, and other terms where something is promised."""
    promises = api.promises and replace(api.promises, commitments=tuple(map(_other_terms, api.promises.commitments)))
    return replace(api, usd_per_request=np.asarray(api.usd_per_request) * factor, promises=promises)


def _other_terms(commitment: Commitment) -> Commitment:
    match commitment:
        case MinimumSpend():
            return replace(commitment, usd_per_month=Decimal(OTHER_TERMS["minimum"]))
        case ProvisionedUnits():
            return replace(commitment, units=int(OTHER_TERMS["units"]))
        case PrepaidCredit():
            return replace(commitment, credit_usd=Decimal(OTHER_TERMS["credit"]))
    return commitment
