"""What each option comes to with every assumption at mid: totals, sizes, price paths, returns."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from planner.analysis.breakeven import VOLUME, Array
from planner.capacity.fleet import machines_needed
from planner.capacity.hours import base_hours, plan_hours
from planner.cost.draws import Draws
from planner.cost.finance import (
    annuity_factor,
    discounted,
    irr_frac_per_month,
    mirr_frac_per_month,
    monthly_rate,
    npv_usd,
    payback_month,
    per_year,
)
from planner.cost.ledger import base_and_overflow, ledger
from planner.cost.mix import machines_at_peak
from planner.cost.options import (
    ApiOption,
    Frame,
    HybridOption,
    MixOption,
    Option,
    OptionKind,
    OwnOption,
    RentOption,
    StagedOption,
    rules_for,
)
from planner.cost.paths import host_requests_per_s, requests_per_month
from planner.cost.schedule import Entry, cash_usd, cost_lines, period_start, pnl_usd
from planner.decision.plan import (
    FleetSize,
    HybridSize,
    Investment,
    MixPool,
    OptionResult,
    PriceChange,
    PriceRow,
    StagedSize,
)
from planner.scenario.inputs import PlanInputs
from planner.simulator.step_cost import prompt_s
from planner.units import SECONDS_PER_DAY, TOKENS_PER_MTOK
from pricing.types import TokenKind

_REQUESTS_SHOWN = 1_000
_TOLERANCE = 1e-9


def option_result(option: Option, frame: Frame, mid: Draws, inputs: PlanInputs) -> OptionResult:
    """One option in the mid world; `investment` is filled in once the cheapest API model is known."""
    entries = ledger(option, frame, mid)
    cash, pnl = cash_usd(entries)[0], pnl_usd(entries)[0]
    rate = monthly_rate(mid.values["discount_rate_frac_per_year"][0])
    npv = float(npv_usd(cash, rate))
    tokens = float(npv_usd(_requests_by_month(frame, mid), rate)) / TOKENS_PER_MTOK * _tokens_per_request(inputs)
    input_frac = _input_cost_frac(option, entries, inputs)
    return OptionResult(
        id=option.id,
        kind=option.kind,
        levelised_usd_per_month=npv / float(annuity_factor(rate, frame.horizon_months)),
        first_month_usd=float(pnl[1]),
        npv_usd=npv,
        cash_total_usd=float(cash.sum()),
        pnl_total_usd=float(pnl.sum()),
        usd_per_mtok=npv / float(tokens.sum()),
        usd_per_mtok_input=None if input_frac is None else npv * input_frac / float(tokens[0]),
        usd_per_mtok_output=None if input_frac is None else npv * (1.0 - input_frac) / float(tokens[1]),
        cash_by_month_usd=tuple(cash.tolist()),
        pnl_by_month_usd=tuple(pnl.tolist()),
        fleet=_fleet(option, frame, mid, inputs) if isinstance(option, RentOption | OwnOption) else None,
        investment=None,
        hybrid=_hybrid(option, frame, mid, inputs) if isinstance(option, HybridOption) else None,
        staged=_staged(option, frame, mid) if isinstance(option, StagedOption) else None,
        mix=_mix(option, frame, mid),
        lines=tuple(cost_lines(option.id, entries, inputs.scenario.start_month)),
    )


def rank(result: OptionResult) -> tuple[float, str]:
    """Options are ranked by levelised cost, equal ones by name."""
    return result.levelised_usd_per_month, result.id


def investment(result: OptionResult, api: OptionResult, rate_frac_per_month: float) -> Investment | None:
    """What a self-hosted option or a mix lays out and saves against an API model; `None` for another API model."""
    if result.kind is OptionKind.API:
        return None
    more = np.array(result.cash_by_month_usd) - np.array(api.cash_by_month_usd)
    irr, mirr = irr_frac_per_month(more), mirr_frac_per_month(more, rate_frac_per_month)
    return Investment(
        against=api.id,
        npv_saved_usd=-float(npv_usd(more, rate_frac_per_month)),
        payback_month=payback_month(more),
        discounted_payback_month=payback_month(discounted(more, rate_frac_per_month)),
        irr_frac_per_year=None if irr is None else per_year(irr),
        mirr_frac_per_year=None if mirr is None else per_year(mirr),
    )


def price_row(api: ApiOption, mid: Draws, start_month: str) -> PriceRow:
    """The dated price of a model for the workload's mix of requests."""
    level = int(np.argmin(np.abs(np.array(api.cached_levels) - mid.values["cached_input_frac"][0])))
    usd = api.usd_per_request[:, level, :].sum(axis=0)
    factors = usd[1:] / usd[:-1]
    return PriceRow(
        model=api.id,
        matched_model=api.matched_model,
        usd_per_1000_requests=float(usd[0]) * _REQUESTS_SHOWN,
        changes=tuple(
            PriceChange(from_month=period_start(start_month, month + 2)[:7], factor=float(factors[month]))
            for month in np.flatnonzero(np.abs(factors - 1.0) > _TOLERANCE).tolist()
        ),
        source=api.source,
        source_url=api.source_url,
    )


def _requests_by_month(frame: Frame, mid: Draws) -> Array:
    growth = (1.0 + mid.column("growth_frac_per_month")) ** np.arange(frame.horizon_months)
    return np.concatenate([[0.0], requests_per_month(float(mid.values[VOLUME][0])) * growth[0]])


def _tokens_per_request(inputs: PlanInputs) -> Array:
    """Mean input and output tokens of a request."""
    return np.array([inputs.workload.input_tokens.mean(), inputs.workload.output_tokens.mean()])


def _input_cost_frac(option: Option, entries: Sequence[Entry], inputs: PlanInputs) -> float | None:
    """The part of the cost that the prompts cause: by the bill at an API, by engine time on one's own machines."""
    if isinstance(option, ApiOption):
        generated = (f"{TokenKind.OUTPUT} tokens", f"{TokenKind.REASONING} tokens")
        total = float(cash_usd(entries).sum())
        output = sum(float(entry.cash_usd.sum()) for entry in entries if entry.item in generated)
        return 1.0 - output / total if total else None
    if isinstance(option, RentOption | OwnOption):
        step_time = inputs.profiles[profile_key(option, inputs)].fit.step_time
        lengths: Any = inputs.workload.input_tokens.astype(np.float64)  # the formula holds for arrays too
        return min(float(np.mean(prompt_s(step_time, lengths))) / option.curve.busy_s_per_request, 1.0)
    return None


def profile_key(option: RentOption | OwnOption, inputs: PlanInputs) -> str:
    """The profile that the option's machines run, by the key of `PlanInputs.profiles`."""
    candidates = inputs.scenario.candidates
    machines = candidates.rent if isinstance(option, RentOption) else candidates.own
    return inputs.profile_key(next(machine for machine in machines if machine.offer == option.id))


def _fleet(option: RentOption | OwnOption, frame: Frame, mid: Draws, inputs: PlanInputs) -> FleetSize:
    rate = float(mid.values[VOLUME][0]) / SECONDS_PER_DAY / float(mid.values["throughput_ratio"][0])
    per_machine = np.floor(mid.values[f"{option.id}/replicas_per_machine"])
    peak = rate * frame.week.peak
    rules = rules_for(option, frame.rules)
    week = plan_hours(
        option.curve,
        rate,
        inputs.served_week,
        rules,
        replicas_per_machine=int(per_machine[0]),
        arriving=inputs.week,
    )
    return FleetSize(
        profile=profile_key(option, inputs),
        replicas_per_machine=int(per_machine[0]),
        peak_machines=int(machines_needed(option.curve, np.array([peak]), frame.rules, per_machine)[0]),
        week=week,
        curve=option.curve,
        beyond_simulated=max(hour.needed_replicas for hour in week.hours) > option.curve.replicas[-1],
    )


def _mix(option: Option, frame: Frame, mid: Draws) -> tuple[MixPool, ...]:
    if not isinstance(option, MixOption):
        return ()
    rows = machines_at_peak(option, frame, mid)
    return tuple(MixPool(offer=offer, peak_machines=count, by_hour=by_hour) for offer, count, by_hour in rows)


def _staged(option: StagedOption, frame: Frame, mid: Draws) -> StagedSize:
    rate = host_requests_per_s(mid, frame)[:, option.api_months]
    per_machine = mid.values[f"{option.host.id}/replicas_per_machine"]
    machines = machines_needed(option.host.curve, rate * frame.week.peak, frame.rules, per_machine)
    return StagedSize(api=option.api.id, host=option.host.id, api_months=option.api_months, machines=int(machines[0]))


def _hybrid(option: HybridOption, frame: Frame, mid: Draws, inputs: PlanInputs) -> HybridSize:
    overflow = float(base_and_overflow(option, frame, mid)[0, 0])
    per_machine = int(mid.values[f"{option.host.id}/replicas_per_machine"][0])
    week = base_hours(
        option.host.curve,
        float(mid.values[VOLUME][0]) / SECONDS_PER_DAY / float(mid.values["throughput_ratio"][0]),
        inputs.served_week,
        replicas=option.machines * per_machine,
        arriving=inputs.week,
    )
    return HybridSize(
        host=option.host.id, api=option.api.id, machines=option.machines, overflow_frac=overflow, week=week
    )
