"""What latency costs: the same traffic under tighter and looser limits, cost per month against the latency reached.

Every limit of the service level is multiplied by the same factor; the fleets are sized anew by simulation and costed
as in the plan. It takes about as long as a plan, so it is made where somebody asks for it and not with every plan.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from planner.capacity.odds import staircase
from planner.capacity.slo import Slo
from planner.capacity.staircase import CapacityCurve, Shortfall, capacity_curves
from planner.cost.draws import draws_from, mid_values
from planner.cost.options import OwnOption, RentOption
from planner.decision.beside import missed_requirements
from planner.decision.decide import Curves, largest_rate_per_s, priced_candidates
from planner.decision.latency import option_latency
from planner.decision.plan import Frontier, FrontierPoint, NotHeld, OptionResult, Plan
from planner.decision.results import option_result
from planner.distribution import Percentiles
from planner.scenario.inputs import Excluded, PlanInputs

FACTORS = (0.25, 0.35, 0.5, 0.71, 1.0, 1.41, 2.0, 2.83, 4.0)
"""Multiples of the limits, about the square root of 2 apart."""

FEW_FACTORS = (0.5, 1.0, 2.0)
"""Where the service level is to hold with a stated probability: every factor then takes as long as sizing the plan."""


def with_frontier(plan: Plan, inputs: PlanInputs, curves: Curves, tell: Callable[[float], None] | None = None) -> Plan:
    """The plan with its frontier; `inputs` and `curves` are those that it was made from.

    At factor 1 stand the plan's own options. A longer limit never costs more: the same rates are tried for every
    factor, and the engine time of a request, which only moves the power bill, is that of the plan's own limits.
    `tell` is given the share of the work that is done. Without machines among the candidates no factor is tried.
    """
    factors = FACTORS if inputs.scenario.slo.probability is None else FEW_FACTORS
    by_factor = curves_at(inputs, curves, factors) if inputs.profiles else {}
    asked = inputs.scenario.slo.slo
    points = [_point(result, None, None) for result in plan.options if result.fleet is None]
    not_held: list[NotHeld] = []
    for place, (factor, found) in enumerate(by_factor.items()):
        slo = scaled(asked, factor)
        results, out = (plan.options, plan.excluded) if factor == 1.0 else _sized(plan, inputs, found)
        points += [_point(result, factor, slo) for result in results if result.fleet is not None]
        not_held += [NotHeld(option=each.id, slo_factor=factor, reason=each.reason) for each in out]
        if tell is not None:
            tell((place + 1) / len(by_factor))
    shown = {point.option for point in points}
    held_elsewhere = tuple(row for row in not_held if row.option in shown)
    return replace(plan, frontier=Frontier(points=marked(points), not_held=held_elsewhere))


def curves_at(inputs: PlanInputs, curves: Curves, factors: Sequence[float]) -> dict[float, Curves]:
    """The staircase of every profile at every factor; `curves` are those of factor 1."""
    scenario = inputs.scenario
    others = [factor for factor in factors if factor != 1.0]
    slos = [scaled(scenario.slo.slo, factor) for factor in others]
    rate, target_frac = largest_rate_per_s(inputs), scenario.fleet.target_utilisation_frac
    by_factor: dict[float, dict[str, CapacityCurve | Shortfall]] = {factor: {} for factor in factors}
    for key, profile in sorted(inputs.profiles.items()):
        if scenario.slo.probability is None:
            found = capacity_curves(
                profile, inputs.workload, slos, max_requests_per_s=rate, target_utilisation_frac=target_frac
            )
        else:
            found = tuple(
                staircase(
                    profile,
                    inputs.workload,
                    slo,
                    probability=scenario.slo.probability,
                    max_requests_per_s=rate,
                    target_utilisation_frac=target_frac,
                )
                for slo in slos
            )
        ordered = [curves[key], *found]
        busy_s = next((curve.busy_s_per_request for curve in ordered if isinstance(curve, CapacityCurve)), None)
        by_factor[1.0][key] = curves[key]
        for factor, curve in zip(others, found, strict=True):
            if isinstance(curve, CapacityCurve) and busy_s is not None:
                curve = replace(curve, busy_s_per_request=busy_s)
            by_factor[factor][key] = curve
    return dict(by_factor)


def scaled(slo: Slo, factor: float) -> Slo:
    """The service level with every limit times `factor`, for the same share of the requests."""
    limits = (None if limit is None else limit * factor for limit in (slo.ttft_s, slo.tpot_s, slo.e2e_s))
    ttft_s, tpot_s, e2e_s = limits
    return replace(slo, ttft_s=ttft_s, tpot_s=tpot_s, e2e_s=e2e_s)


def undominated(cost_and_latency: Sequence[tuple[float, float | None]]) -> tuple[bool, ...]:
    """Which points no other beats: none is as cheap and as fast, and better in one of the two. Unknown latency: False.

    >>> undominated([(100.0, 2.0), (120.0, 1.0), (130.0, 1.0), (90.0, None)])
    (True, True, False, False)
    """
    known = sorted((latency, cost) for cost, latency in cost_and_latency if latency is not None)
    best: set[tuple[float, float]] = set()
    cheapest = float("inf")
    for latency, cost in known:
        if cost < cheapest:
            best.add((latency, cost))
            cheapest = cost
    return tuple(latency is not None and (latency, cost) in best for cost, latency in cost_and_latency)


def points_of(plan: Plan) -> tuple[FrontierPoint, ...]:
    """The points of a plan's frontier, or, where it was not made, its options as they are."""
    if plan.frontier is not None:
        return plan.frontier.points
    asked = plan.scenario.slo.slo
    rows = [(option, asked if option.fleet else None) for option in plan.options]
    return marked([_point(option, 1.0 if slo else None, slo) for option, slo in rows])


def marked(points: Sequence[FrontierPoint]) -> tuple[FrontierPoint, ...]:
    """The points with those on either frontier marked, at the 95th percentile."""
    by_ttft = undominated([(point.usd_per_month, _p95(point.latency.ttft_s)) for point in points])
    by_tpot = undominated([(point.usd_per_month, _p95(point.latency.tpot_s)) for point in points])
    return tuple(
        replace(point, on_ttft_frontier=ttft, on_tpot_frontier=tpot)
        for point, ttft, tpot in zip(points, by_ttft, by_tpot, strict=True)
    )


def _sized(plan: Plan, inputs: PlanInputs, curves: Curves) -> tuple[list[OptionResult], tuple[Excluded, ...]]:
    """The machines of every offer with these staircases, and what cannot be chosen."""
    mid = draws_from([mid_values(plan.assumptions)])
    candidates, out = priced_candidates(inputs, curves)
    hosts = [option for option in candidates if isinstance(option, RentOption | OwnOption)]
    results = [option_result(option, plan.frame, mid, inputs) for option in hosts]
    missed = missed_requirements(inputs, hosts, results, plan.assumptions)
    unfit = {each.id for each in missed}
    return [
        replace(result, latency=option_latency(option, result, plan.frame, mid, inputs))
        for option, result in zip(hosts, results, strict=True)
        if result.id not in unfit
    ], (*out, *missed)


def _point(result: OptionResult, factor: float | None, slo: Slo | None) -> FrontierPoint:
    return FrontierPoint(
        option=result.id,
        kind=result.kind,
        slo_factor=factor,
        slo=slo,
        machines=result.fleet.peak_machines if result.fleet else None,
        usd_per_month=result.levelised_usd_per_month,
        latency=result.latency,
    )


def _p95(latency_s: Percentiles | None) -> float | None:
    return None if latency_s is None else latency_s.p95
