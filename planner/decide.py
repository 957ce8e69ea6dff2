"""From inputs to a plan: which options can serve, what each costs, where break-even lies, what would change the answer.

`size_fleets` is the slow part (it simulates); `make_plan` is fast enough to follow a slider. Both are pure.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from planner.assumptions import gather_assumptions
from planner.breakeven import (
    VOLUME,
    Array,
    BreakEven,
    ClosestApproach,
    Difference,
    break_even,
    cheapest_of,
    search_volumes,
)
from planner.capacity import CapacityCurve, Shortfall, capacity_curve, plan_hours
from planner.cost import base_and_overflow, ledger, levelised_cost_usd_per_month, requests_per_month
from planner.draws import Draws, draws_from, each_at, mid_values, one_at_a_time
from planner.finance import (
    annuity_factor,
    discounted,
    irr_frac_per_month,
    mirr_frac_per_month,
    monthly_rate,
    npv_usd,
    payback_month,
    per_year,
)
from planner.fleet import machines_needed, step_rates_per_s, week_of
from planner.hybrid import best_hybrid
from planner.inputs import Excluded, PlanInputs
from planner.options import ApiOption, Frame, HybridOption, Option, OptionKind, OwnOption, RentOption, rules_for
from planner.plan import (
    FleetSize,
    HybridSize,
    Investment,
    OptionResult,
    Plan,
    PriceChange,
    PriceRow,
    Verdict,
    VolumeChart,
    VolumeSeries,
)
from planner.profile import Profile
from planner.risk import assess
from planner.scenario import Scenario
from planner.schedule import cash_usd, cost_lines, period_start, pnl_usd
from planner.sensitivity import TornadoBar, tornado
from planner.units import HOURS_PER_DAY, SECONDS_PER_HOUR, TOKENS_PER_MTOK
from planner.verdict import describe, make_verdict, usd
from planner.workload import Workload, summarise_workload

SECONDS_PER_DAY = HOURS_PER_DAY * SECONDS_PER_HOUR
Curves = Mapping[str, CapacityCurve | Shortfall]

_EDGES_PER_OPTION = 300
_CHART_POINTS = 240
_HEADROOM = 100.0
_TOLERANCE = 1e-9
_UNSAID = Verdict(headline="", paragraph="", cautions=())


def planned_requests_per_day(scenario: Scenario, workload: Workload) -> float:
    """Requests per day in the first month: the scenario's figure, else the log's mean rate around the clock."""
    stated = scenario.assumptions.get(VOLUME, scenario.workload.requests_per_day)
    return stated.mid if stated else workload.requests_per_s * SECONDS_PER_DAY


def size_fleets(inputs: PlanInputs) -> Curves:
    """Simulate how much each profile carries within the service level. The slow part.

    Up to a hundred times the plan's peak hour or the largest fleet that is simulated, because break-even may lie far
    from the plan and large fleets smooth bursts that small ones cannot.
    """
    scenario, demand = inputs.scenario, inputs.scenario.workload
    growth = max(demand.growth_frac_per_month.mid, 0.0)
    last = (1.0 + growth) ** (scenario.horizon_months - 1)
    peak = planned_requests_per_day(scenario, inputs.workload) / SECONDS_PER_DAY * last * max(inputs.week.weights)
    slo = scenario.slo.slo
    return {
        key: capacity_curve(profile, inputs.workload, slo, max_requests_per_s=peak * _HEADROOM)
        for key, profile in sorted(inputs.profiles.items())
    }


def make_plan(inputs: PlanInputs, curves: Curves) -> Plan:
    """Cost, rank and question every option. Raises `InputError` for assumptions that cannot be."""
    scenario = inputs.scenario
    assumptions = gather_assumptions(
        scenario,
        defaults=inputs.defaults,
        log_requests_per_day=inputs.workload.requests_per_s * SECONDS_PER_DAY,
        profile=_main_profile(inputs),
        rentals=tuple(inputs.rentals.values()),
        purchases=tuple(inputs.purchases.values()),
    )
    frame = Frame(horizon_months=scenario.horizon_months, week=week_of(inputs.week), rules=scenario.fleet.rules)
    options, excluded = _candidates(inputs, curves)
    mid = draws_from([mid_values(assumptions)])
    volume = float(mid.values[VOLUME][0])
    apis = [option for option in options if isinstance(option, ApiOption)]
    hosts = [option for option in options if isinstance(option, RentOption | OwnOption)]
    results = [_result(option, frame, mid, inputs) for option in options]
    mix = best_hybrid(hosts, apis, frame, mid) if scenario.candidates.hybrid else None
    if mix is not None:
        mixed = _result(mix, frame, mid, inputs)
        if mixed.levelised_usd_per_month < min(result.levelised_usd_per_month for result in results):
            options.append(mix)
            results.append(mixed)
        else:
            excluded.append(_pointless(mixed, min(results, key=_rank)))
    results.sort(key=_rank)
    cheapest_api = next((result for result in results if result.kind is OptionKind.API), None)
    if cheapest_api is not None:
        rate = float(monthly_rate(mid.values["discount_rate_frac_per_year"][0]))
        results = [replace(r, investment=_investment(r, cheapest_api, rate)) for r in results]
    found: BreakEven | None = None
    bars: tuple[TornadoBar, ...] = ()
    if apis and hosts:
        difference = _difference(hosts, apis, frame)
        _, worlds = one_at_a_time([a for a in assumptions if a.name != VOLUME])
        edges = _edges(hosts, frame, mid)
        found = break_even(difference, mid, worlds, search_volumes(volume), edges)
        if not found.crossings and not found.always_cheaper:
            found = replace(found, closest=_closest(difference, apis, frame, mid, search_volumes(volume)))
        bars = tornado(assumptions, difference)
    host = next((result.id for result in results if result.kind in (OptionKind.RENT, OptionKind.OWN)), None)
    sampling = scenario.sampling
    plan = Plan(
        scenario=scenario,
        workload=summarise_workload(inputs.workload),
        workload_source=inputs.workload.source,
        bad_rows=inputs.bad_rows,
        week_name=inputs.week.name,
        week_source=inputs.week.source,
        requests_per_day=volume,
        profiles=inputs.profiles,
        assumptions=assumptions,
        options=tuple(results),
        excluded=(*inputs.excluded, *excluded),
        break_even=found,
        sensitivity=bars,
        risk=assess(
            options,
            frame,
            assumptions,
            api=cheapest_api.id if cheapest_api else None,
            host=host,
            draws=sampling.draws,
            seed=sampling.seed,
        ),
        chart=_chart([*apis, *hosts], frame, mid, found, volume),
        prices=tuple(_price_row(api, mid, scenario.start_month) for api in apis),
        files=inputs.files,
        verdict=_UNSAID,
    )
    return replace(plan, verdict=make_verdict(plan))


def _price_row(api: ApiOption, mid: Draws, start_month: str) -> PriceRow:
    level = int(np.argmin(np.abs(np.array(api.cached_levels) - mid.values["cached_input_frac"][0])))
    usd = api.usd_per_request[:, level, :].sum(axis=0)
    factors = usd[1:] / usd[:-1]
    return PriceRow(
        model=api.id,
        matched_model=api.matched_model,
        usd_per_1000_requests=float(usd[0]) * 1000,
        changes=tuple(
            PriceChange(from_month=period_start(start_month, month + 2)[:7], factor=float(factors[month]))
            for month in np.flatnonzero(np.abs(factors - 1.0) > _TOLERANCE).tolist()
        ),
        source=api.source,
        source_url=api.source_url,
    )


def _main_profile(inputs: PlanInputs) -> Profile | None:
    """The profile whose stated error stands for the throughput of all: the scenario's own, else the first named."""
    key = inputs.scenario.profile or next(iter(inputs.profiles), None)
    return inputs.profiles.get(key) if key else None


def _candidates(inputs: PlanInputs, curves: Curves) -> tuple[list[Option], list[Excluded]]:
    options: list[Option] = list(inputs.apis)
    excluded: list[Excluded] = []
    candidates = inputs.scenario.candidates
    for kind, machines in ((OptionKind.RENT, candidates.rent), (OptionKind.OWN, candidates.own)):
        for machine in machines:
            curve = curves[inputs.profile_key(machine)]
            if isinstance(curve, Shortfall):
                excluded.append(Excluded(id=machine.offer, kind=kind, reason=_said(curve)))
            elif kind is OptionKind.RENT:
                options.append(RentOption(id=machine.offer, offer=inputs.rentals[machine.offer], curve=curve))
            else:
                options.append(OwnOption(id=machine.offer, offer=inputs.purchases[machine.offer], curve=curve))
    return options, excluded


def _said(shortfall: Shortfall) -> str:
    return (
        f"{shortfall.bottleneck}: needs {shortfall.needed:g} {shortfall.unit}, "
        f"has {shortfall.available:g}; {shortfall.advice}"
    )


def _result(option: Option, frame: Frame, mid: Draws, inputs: PlanInputs) -> OptionResult:
    entries = ledger(option, frame, mid)
    cash, pnl = cash_usd(entries)[0], pnl_usd(entries)[0]
    rate = monthly_rate(mid.values["discount_rate_frac_per_year"][0])
    npv = float(npv_usd(cash, rate))
    return OptionResult(
        id=option.id,
        kind=option.kind,
        levelised_usd_per_month=npv / float(annuity_factor(rate, frame.horizon_months)),
        first_month_usd=float(pnl[1]),
        npv_usd=npv,
        cash_total_usd=float(cash.sum()),
        pnl_total_usd=float(pnl.sum()),
        usd_per_mtok=npv / float(npv_usd(_tokens_by_month(frame, mid, inputs), rate)) * TOKENS_PER_MTOK,
        cash_by_month_usd=tuple(cash.tolist()),
        pnl_by_month_usd=tuple(pnl.tolist()),
        fleet=_fleet(option, frame, mid, inputs) if isinstance(option, RentOption | OwnOption) else None,
        investment=None,
        hybrid=_hybrid(option, frame, mid) if isinstance(option, HybridOption) else None,
        lines=tuple(cost_lines(option.id, entries, inputs.scenario.start_month)),
    )


def _investment(result: OptionResult, api: OptionResult, rate: float) -> Investment | None:
    if result.kind is OptionKind.API:
        return None
    more = np.array(result.cash_by_month_usd) - np.array(api.cash_by_month_usd)
    irr, mirr = irr_frac_per_month(more), mirr_frac_per_month(more, rate)
    return Investment(
        against=api.id,
        npv_saved_usd=-float(npv_usd(more, rate)),
        payback_month=payback_month(more),
        discounted_payback_month=payback_month(discounted(more, rate)),
        irr_frac_per_year=None if irr is None else per_year(irr),
        mirr_frac_per_year=None if mirr is None else per_year(mirr),
    )


def _tokens_by_month(frame: Frame, mid: Draws, inputs: PlanInputs) -> Array:
    workload = inputs.workload
    per_request = float(workload.input_tokens.mean() + workload.output_tokens.mean())
    growth = (1.0 + mid.column("growth_frac_per_month")) ** np.arange(frame.horizon_months)
    tokens = requests_per_month(float(mid.values[VOLUME][0])) * per_request * growth[0]
    return np.concatenate([[0.0], tokens])


def _fleet(option: RentOption | OwnOption, frame: Frame, mid: Draws, inputs: PlanInputs) -> FleetSize:
    scenario = inputs.scenario
    machines = scenario.candidates.rent if isinstance(option, RentOption) else scenario.candidates.own
    machine = next(machine for machine in machines if machine.offer == option.id)
    rate = float(mid.values[VOLUME][0]) / SECONDS_PER_DAY / float(mid.values["throughput_ratio"][0])
    per_machine = np.floor(mid.values[f"{option.id}/replicas_per_machine"])
    peak = rate * frame.week.peak
    week = plan_hours(option.curve, rate, inputs.week, rules_for(option, frame.rules))
    return FleetSize(
        profile=inputs.profile_key(machine),
        replicas_per_machine=int(per_machine[0]),
        peak_machines=int(machines_needed(option.curve, np.array([peak]), frame.rules, per_machine)[0]),
        week=week,
        curve=option.curve,
        beyond_simulated=week.peak_replicas - frame.rules.spare_replicas > option.curve.replicas[-1],
    )


def _hybrid(option: HybridOption, frame: Frame, mid: Draws) -> HybridSize:
    overflow = float(base_and_overflow(option, frame, mid)[0, 0])
    return HybridSize(host=option.host.id, api=option.api.id, machines=option.machines, overflow_frac=overflow)


def _difference(hosts: Sequence[RentOption | OwnOption], apis: Sequence[ApiOption], frame: Frame) -> Difference:
    """Cheapest self-hosted minus cheapest API option; a token bill is proportional to volume and priced only once."""

    def on(worlds: Draws) -> Callable[[Array], Array]:
        one_a_day = each_at(worlds, VOLUME, [1.0])
        per_daily_request = cheapest_of([levelised_cost_usd_per_month(api, frame, one_a_day) for api in apis])

        def at(volumes: Array) -> Array:
            draws = each_at(worlds, VOLUME, volumes)
            own = cheapest_of([levelised_cost_usd_per_month(host, frame, draws) for host in hosts])
            return np.asarray(own.reshape(volumes.shape) - per_daily_request[:, np.newaxis] * volumes)

        return at

    return on


def _closest(
    difference: Difference, apis: Sequence[ApiOption], frame: Frame, mid: Draws, volumes: Array
) -> ClosestApproach:
    one_a_day = each_at(mid, VOLUME, [1.0])
    tokens = min(float(levelised_cost_usd_per_month(api, frame, one_a_day)[0]) for api in apis) * volumes
    ratio = 1.0 + difference(mid)(volumes[np.newaxis, :])[0] / tokens
    best = int(np.argmin(ratio))
    return ClosestApproach(requests_per_day=float(volumes[best]), cost_ratio=float(ratio[best]))


def _rank(result: OptionResult) -> tuple[float, str]:
    return result.levelised_usd_per_month, result.id


def _pointless(mixed: OptionResult, best: OptionResult) -> Excluded:
    return Excluded(
        id="a mix of both",
        kind=OptionKind.HYBRID,
        reason=f"the cheapest, {describe(mixed)}, costs {usd(mixed.levelised_usd_per_month)} a month, "
        f"not less than {describe(best)} alone",
    )


def _edges(hosts: Sequence[RentOption | OwnOption], frame: Frame, mid: Draws) -> Array:
    """Volumes at which some month's peak asks for one more machine [requests/day in the first month]."""
    growth = 1.0 + float(mid.values["growth_frac_per_month"][0])
    months = np.arange(frame.horizon_months) if growth != 1.0 else np.zeros(1)
    per_option = max(_EDGES_PER_OPTION // months.size, 1)
    ratio = float(mid.values["throughput_ratio"][0])
    found = [np.zeros(0)]
    for option in hosts:
        per_machine = int(mid.values[f"{option.id}/replicas_per_machine"][0])
        rates = step_rates_per_s(option.curve, frame.rules, per_machine, per_option)
        volumes = rates * ratio / frame.week.peak * SECONDS_PER_DAY
        found.append((volumes[:, np.newaxis] / growth**months).ravel())
    return np.concatenate(found)


def _chart(options: Sequence[Option], frame: Frame, mid: Draws, found: BreakEven | None, volume: float) -> VolumeChart:
    marks = [volume]
    if found is not None:
        marks += [v for v in (found.low, found.high, *(c.requests_per_day for c in found.crossings)) if v is not None]
    volumes = np.geomspace(min(marks) / 10, max(marks) * 10, _CHART_POINTS)
    worlds = each_at(mid, VOLUME, volumes)
    return VolumeChart(
        requests_per_day=tuple(volumes.tolist()),
        series=tuple(
            VolumeSeries(
                id=option.id,
                kind=option.kind,
                usd_per_month=tuple(levelised_cost_usd_per_month(option, frame, worlds).tolist()),
            )
            for option in options
        ),
    )
