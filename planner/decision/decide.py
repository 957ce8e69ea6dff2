"""From inputs to a plan: which options can serve, what each costs, where break-even lies, what would change the answer.

`size_fleets` is the slow part (it simulates); `make_plan` is fast enough to follow a slider. Both are pure.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from planner.analysis.breakeven import VOLUME, BreakEven, Difference, break_even, search_volumes
from planner.analysis.breakeven_views import BreakEvenViews, break_even_views
from planner.analysis.compare import closest_approach, difference_of, staircase_edges, volume_chart
from planner.analysis.risk import assess
from planner.analysis.sensitivity import TornadoBar, tornado
from planner.capacity.fleet import week_of
from planner.capacity.memory_fit import memory_shortfall
from planner.capacity.odds import at_probability, staircase
from planner.capacity.overflow import with_overflow
from planner.capacity.staircase import CapacityCurve, Shortfall
from planner.cost.draws import Draws, draws_from, mid_values, one_at_a_time
from planner.cost.finance import monthly_rate
from planner.cost.options import ApiOption, Frame, Option, OptionKind, OwnOption, RentOption
from planner.decision.beside import matrix_of, missed_requirements
from planner.decision.latency import option_latency
from planner.decision.plan import OptionResult, Plan, Verdict
from planner.decision.results import investment, option_result, price_row, rank
from planner.decision.verdict import make_verdict
from planner.decision.vetoes import questions, vetoes
from planner.decision.wording import describe, usd
from planner.mixes.hybrid import best_hybrid, best_staged
from planner.mixes.offers import best_mix
from planner.profile import Profile
from planner.scenario.assumptions import gather_assumptions
from planner.scenario.inputs import Excluded, PlanInputs
from planner.scenario.tables import Machine, Scenario
from planner.steptime.throughput import posterior_ratios
from planner.units import BYTES_PER_GB, BYTES_PER_GIB, SECONDS_PER_DAY, TOKENS_PER_MTOK
from planner.workload import Workload, burst_sample, summarise_workload

Curves = Mapping[str, CapacityCurve | Shortfall]

_LEAST_REPLAY_S = 60.0
_REPLAY_OVER_LIMIT = 5.0
_WORTH_TWO_KINDS_FRAC = 0.02
"""What a mix of offers must save over the cheapest single one to be worth running two kinds of machines."""

_UNSAID = Verdict(headline="", points=(), cautions=())


def planned_requests_per_day(scenario: Scenario, workload: Workload) -> float:
    """Requests per day in the first month: the scenario's figure, else the log's mean rate around the clock."""
    stated = scenario.assumptions.get(VOLUME, scenario.workload.requests_per_day)
    return stated.mid if stated else workload.requests_per_s * SECONDS_PER_DAY


def largest_rate_per_s(inputs: PlanInputs) -> float:
    """Up to which rate [requests/s] the staircase of a replica must be known; why so far, see `size_fleets`."""
    scenario, demand = inputs.scenario, inputs.scenario.workload
    growth = max(demand.growth_frac_per_month.mid, 0.0)
    last = (1.0 + growth) ** (scenario.horizon_months - 1)
    busiest = max(inputs.served_week.weights)
    peak = planned_requests_per_day(scenario, inputs.workload) / SECONDS_PER_DAY * last * busiest
    slo = scenario.slo.slo
    replay_s = max(_LEAST_REPLAY_S, _REPLAY_OVER_LIMIT * max(slo.ttft_s or 0.0, slo.e2e_s or 0.0))
    fastest = burst_sample(inputs.workload).requests / replay_s
    return max(peak, fastest)


def size_fleets(inputs: PlanInputs) -> Curves:
    """Simulate how much each profile carries within the service level. The slow part.

    At least up to the plan's peak hour, and further, because break-even may lie far from the plan and large fleets
    smooth bursts that small ones cannot: as long as the log, replayed that fast, still lasts a minute and five times
    the latency limit. A shorter replay would hide overload in the slack that the limit leaves.
    """
    scenario = inputs.scenario
    slo, rate = scenario.slo.slo, largest_rate_per_s(inputs)
    curves: dict[str, CapacityCurve | Shortfall] = {}
    for key, profile in sorted(inputs.profiles.items()):
        found = staircase(
            profile,
            inputs.workload,
            slo,
            probability=scenario.slo.probability,
            max_requests_per_s=rate,
            target_utilisation_frac=scenario.fleet.target_utilisation_frac,
        )
        if isinstance(found, CapacityCurve) and scenario.candidates.hybrid and scenario.candidates.api:
            slow = at_probability(profile, inputs.workload, scenario.slo.probability)
            found = with_overflow(found, slow, inputs.workload, slo, api_ttft_s=scenario.slo.assumed_api_ttft_s)
        curves[key] = found
    return curves


def make_plan(
    inputs: PlanInputs, curves: Curves, on_ranked: Callable[[tuple[OptionResult, ...]], None] | None = None
) -> Plan:
    """Cost, rank and question every option. Raises `InputError` for assumptions that cannot be.

    `on_ranked` is given the options in order of cost as soon as they are known, before break-even and risk are worked
    out: what the headline says.
    """
    scenario = inputs.scenario
    profile = _main_profile(inputs)
    posterior = posterior_ratios(profile, inputs.workload) if profile else ()
    assumptions = gather_assumptions(
        scenario,
        posterior=posterior,
        defaults=inputs.defaults,
        log_requests_per_day=inputs.workload.requests_per_s * SECONDS_PER_DAY,
        profile=profile,
        outside_hull_frac=max(
            (c.requests_outside_hull_frac for c in curves.values() if isinstance(c, CapacityCurve)), default=0.0
        ),
        rentals=tuple(inputs.rentals.values()),
        purchases=tuple(inputs.purchases.values()),
    )
    frame = Frame(
        horizon_months=scenario.horizon_months,
        week=week_of(inputs.served_week),
        rules=scenario.fleet.rules,
        output_mtok_per_request=float(inputs.workload.output_tokens.mean()) / TOKENS_PER_MTOK,
    )
    options, excluded = priced_candidates(inputs, curves)
    mid = draws_from([mid_values(assumptions)])
    volume = float(mid.values[VOLUME][0])
    apis = [option for option in options if isinstance(option, ApiOption)]
    hosts = [option for option in options if isinstance(option, RentOption | OwnOption)]
    results = [option_result(option, frame, mid, inputs) for option in options]
    pure = min(results, key=rank) if results else None
    fleet = best_mix(hosts, frame, mid) if scenario.candidates.mixes else None
    if fleet is not None:
        mixed = option_result(fleet, frame, mid, inputs)
        alone = min((r for r in results if r.kind in (OptionKind.RENT, OptionKind.OWN)), key=rank)
        if mixed.levelised_usd_per_month < alone.levelised_usd_per_month * (1 - _WORTH_TWO_KINDS_FRAC):
            options.append(fleet)
            results.append(mixed)
        else:
            excluded.append(_hardly_cheaper(mixed, alone))
    for mix in _mixes(scenario, hosts, apis, frame, mid):
        mixed = option_result(mix, frame, mid, inputs)
        if pure is not None and mixed.levelised_usd_per_month < pure.levelised_usd_per_month:
            options.append(mix)
            results.append(mixed)
        elif pure is not None:
            excluded.append(_pointless(mixed, pure))
    unfit = {out.id: out for out in missed_requirements(inputs, options, results, assumptions)}
    excluded += unfit.values()
    results = [result for result in results if result.id not in unfit]
    options = [option for option in options if option.id not in unfit]
    apis = [option for option in apis if option.id not in unfit]
    hosts = [option for option in hosts if option.id not in unfit]
    results.sort(key=rank)
    cheapest_api = next((result for result in results if result.kind is OptionKind.API), None)
    if cheapest_api is not None:
        rate = float(monthly_rate(mid.values["discount_rate_frac_per_year"][0]))
        results = [replace(r, investment=investment(r, cheapest_api, rate)) for r in results]
    if on_ranked is not None:
        on_ranked(tuple(results))
    by_id = {option.id: option for option in options}
    results = [replace(r, latency=option_latency(by_id[r.id], r, frame, mid, inputs)) for r in results]
    found: BreakEven | None = None
    bars: tuple[TornadoBar, ...] = ()
    difference: Difference | None = None
    if apis and hosts:
        difference = difference_of(hosts, apis, frame)
        _, worlds = one_at_a_time([a for a in assumptions if a.name != VOLUME])
        edges = staircase_edges(hosts, frame, mid)
        found = break_even(difference, mid, worlds, search_volumes(volume), edges)
        if not found.crossings and not found.always_cheaper:
            found = replace(found, closest=closest_approach(difference, apis, frame, mid, search_volumes(volume)[::4]))
        bars = tornado(assumptions, difference)
    views: BreakEvenViews | None = None
    host = next((result.id for result in results if result.kind in (OptionKind.RENT, OptionKind.OWN)), None)
    if found is not None and cheapest_api is not None:
        views = break_even_views(
            hosts,
            apis,
            frame,
            mid,
            one_at_a_time(assumptions)[1],
            found,
            host=next(option for option in hosts if option.id == host),
            api=next(option for option in apis if option.id == cheapest_api.id),
        )
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
        modelled=tuple(options),
        frame=frame,
        excluded=tuple(excluded),
        questions=tuple(questions(inputs)),
        break_even=found,
        sensitivity=bars,
        risk=assess(
            options,
            frame,
            assumptions,
            recommended=results[0].id if results else None,
            tokens_per_request=float(inputs.workload.input_tokens.mean() + inputs.workload.output_tokens.mean()),
            posterior=() if "throughput_ratio" in scenario.assumptions else posterior,
            api=cheapest_api.id if cheapest_api else None,
            host=host,
            draws=sampling.draws,
            seed=sampling.seed,
            difference_on=difference,
            volumes=search_volumes(volume)[::10],
        ),
        chart=volume_chart([*apis, *hosts], frame, mid, found, volume),
        prices=tuple(price_row(api, mid, scenario.start_month) for api in apis),
        files=inputs.files,
        verdict=_UNSAID,
        price_lock=inputs.price_lock,
        break_even_views=views,
    )
    plan = replace(plan, matrix=matrix_of(inputs, options, results, assumptions, plan.risk, volume))
    return replace(plan, verdict=make_verdict(plan))


def _main_profile(inputs: PlanInputs) -> Profile | None:
    """The profile whose stated error stands for the throughput of all: the scenario's own, else the first named."""
    key = inputs.scenario.profile or next(iter(inputs.profiles), None)
    return inputs.profiles.get(key) if key else None


def priced_candidates(inputs: PlanInputs, curves: Curves) -> tuple[list[Option], list[Excluded]]:
    """The options of one candidate each, and the candidates that cannot serve or may not be chosen."""
    excluded = list(vetoes(inputs))
    out = {veto.id for veto in excluded}
    excluded += [missing for missing in inputs.excluded if missing.id not in out]
    options: list[Option] = [api for api in inputs.apis if api.id not in out]
    candidates = inputs.scenario.candidates
    for kind, machines in ((OptionKind.RENT, candidates.rent), (OptionKind.OWN, candidates.own)):
        for machine in (machine for machine in machines if machine.offer not in out):
            curve = curves[inputs.profile_key(machine)]
            short = _memory_shortfall(inputs, machine)
            if short is not None:
                excluded.append(Excluded(id=machine.offer, kind=kind, reason=_said(short)))
            elif isinstance(curve, Shortfall):
                excluded.append(Excluded(id=machine.offer, kind=kind, reason=_said(curve)))
            elif kind is OptionKind.RENT:
                options.append(RentOption(id=machine.offer, offer=inputs.rentals[machine.offer], curve=curve))
            else:
                options.append(OwnOption(id=machine.offer, offer=inputs.purchases[machine.offer], curve=curve))
    return options, excluded


def _memory_shortfall(inputs: PlanInputs, machine: Machine) -> Shortfall | None:
    """Whether the offer's memory holds the replicas that the scenario puts on it: of its cards, or of the machine."""
    offer = inputs.rentals.get(machine.offer) or inputs.purchases[machine.offer]
    profile = inputs.profiles[inputs.profile_key(machine)]
    card = inputs.cards.get(offer.accelerator or "")
    gib = offer.ram_gib if card is None else card.memory_gb * offer.accelerators * BYTES_PER_GB / BYTES_PER_GIB
    longest = int((inputs.workload.input_tokens + inputs.workload.output_tokens).max())
    return memory_shortfall(
        profile,
        available_gib=gib,
        replicas=machine.replicas_per_machine.mid,
        longest_request_tokens=min(longest, profile.limits.context_tokens),
    )


def _said(shortfall: Shortfall) -> str:
    return (
        f"{shortfall.bottleneck}: needs {shortfall.needed:g} {shortfall.unit}, "
        f"has {shortfall.available:g}; {shortfall.advice}"
    )


def _mixes(
    scenario: Scenario,
    hosts: Sequence[RentOption | OwnOption],
    apis: Sequence[ApiOption],
    frame: Frame,
    mid: Draws,
) -> Iterator[Option]:
    """The best of each way to use both sides."""
    found = (best_hybrid(hosts, apis, frame, mid), best_staged(hosts, apis, frame, mid))
    return (mix for mix in found if mix is not None and scenario.candidates.hybrid)


def _hardly_cheaper(mixed: OptionResult, alone: OptionResult) -> Excluded:
    return Excluded(
        id="a mix of offers",
        kind=mixed.kind,
        reason=f"the cheapest, {describe(mixed)}, costs {usd(mixed.levelised_usd_per_month)} a month, which is not "
        f"{_WORTH_TWO_KINDS_FRAC:.0%} less than {describe(alone)} alone",
    )


def _pointless(mixed: OptionResult, best: OptionResult) -> Excluded:
    return Excluded(
        id="a mix of both" if mixed.kind is OptionKind.HYBRID else "API first, machines later",
        kind=mixed.kind,
        reason=f"the cheapest, {describe(mixed)}, costs {usd(mixed.levelised_usd_per_month)} a month, "
        f"not less than {describe(best)} alone",
    )
