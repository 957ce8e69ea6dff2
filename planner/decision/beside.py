"""The facts of each option that are not money, and the requirements on availability and vendors held against them."""

from collections.abc import Iterator, Sequence

from planner.analysis.risk import Risk
from planner.cost.options import ApiOption, HybridOption, MixOption, Option, OwnOption, RentOption, StagedOption
from planner.decision.matrix import Facts, MatrixRow, decision_matrix, fleet_availability_frac
from planner.decision.plan import OptionResult
from planner.decision.plan_parts import QualityRate
from planner.decision.vetoes import own_result
from planner.ranges import Assumption
from planner.scenario.inputs import Excluded, PlanInputs
from planner.scenario.requirements import SELF_HOSTED
from planner.units import DAYS_PER_MONTH
from pricing.quality import pass_rate
from pricing.types import Term


def matrix_of(
    inputs: PlanInputs,
    options: Sequence[Option],
    results: Sequence[OptionResult],
    assumptions: Sequence[Assumption],
    risk: Risk,
    requests_per_day: float,
) -> tuple[MatrixRow, ...]:
    """The decision matrix with the scenario's weights, in the order of `results`."""
    mids = {a.name: a.value.mid for a in assumptions}
    held = {option.id: option.slo_held_frac for option in risk.options}
    by_id = {option.id: option for option in options}
    facts = [
        Facts(
            option=result.id,
            kind=result.kind,
            usd_per_month=result.levelised_usd_per_month,
            requests_per_month=requests_per_day * DAYS_PER_MONTH,
            quality=_quality(inputs, by_id[result.id]),
            availability_frac=availability_frac(result, by_id[result.id], inputs, mids),
            slo_held_frac=held.get(result.id),
            downtime_usd_per_h=inputs.scenario.requirements.downtime_usd_per_h,
            vendors=len(_vendors(by_id[result.id])),
            months_bound=_months_bound(by_id[result.id], inputs.scenario.horizon_months),
        )
        for result in results
    ]
    return decision_matrix(facts, {str(name): weight for name, weight in inputs.scenario.weights.items()})


def availability_frac(result: OptionResult, option: Option, inputs: PlanInputs, mids: dict[str, float]) -> float | None:
    """Share of the time in which the option can serve its peak: the provider's, or that of the fleet with its spares.

    A hybrid serves while one of its sides is up; of staged options and mixes of offers it is not known.
    """
    api, machine = mids["api_availability_frac"], mids["machine_availability_frac"]
    match option:
        case ApiOption():
            return api
        case RentOption() | OwnOption():
            if result.fleet is None:
                return None
            size = result.fleet
            needed = max(hour.needed_replicas for hour in size.week.hours)
            machines = -(-needed // size.replicas_per_machine)
            return fleet_availability_frac(size.peak_machines, min(machines, size.peak_machines), machine)
        case HybridOption():
            return 1.0 - (1.0 - api) * (1.0 - fleet_availability_frac(option.machines, option.machines, machine))
        case StagedOption() | MixOption():
            return None


def missed_requirements(
    inputs: PlanInputs, options: Sequence[Option], results: Sequence[OptionResult], assumptions: Sequence[Assumption]
) -> tuple[Excluded, ...]:
    """Options whose availability is known and below the required one, and those that rest on too few vendors."""
    mids = {a.name: a.value.mid for a in assumptions}
    by_id = {option.id: option for option in options}
    told = [(r, "; ".join(_missed(r, by_id[r.id], inputs, mids))) for r in results]
    return tuple(Excluded(id=result.id, kind=result.kind, reason=reason) for result, reason in told if reason)


def _missed(result: OptionResult, option: Option, inputs: PlanInputs, mids: dict[str, float]) -> Iterator[str]:
    required = inputs.scenario.requirements
    frac = availability_frac(result, option, inputs, mids)
    if required.availability_frac is not None and frac is not None and frac < required.availability_frac:
        yield (
            f"serves its peak {frac:.3%} of the time, and {required.availability_frac:.3%} is asked for: more spare "
            "replicas help, or more zones, or a second provider"
        )
    vendors = sorted(_vendors(option))
    if len(vendors) < required.min_vendors:
        yield f"rests on {' and '.join(vendors)} alone, and {required.min_vendors} vendors are asked for"


def _quality(inputs: PlanInputs, option: Option) -> QualityRate | None:
    """Of the worse model where an option uses two."""
    match option:
        case ApiOption():
            names: tuple[str, ...] = (option.id,)
        case HybridOption() | StagedOption():
            names = (SELF_HOSTED, option.api.id)
        case _:
            names = (SELF_HOSTED,)
    rates = []
    for name in names:
        result = own_result(inputs, name)
        if result is None:
            return None
        value = pass_rate(result)
        rates.append(
            QualityRate(passed=result.passed, total=result.total, rate=value.mid, low=value.low, high=value.high)
        )
    return min(rates, key=lambda rate: rate.rate)


def _vendors(option: Option) -> set[str]:
    match option:
        case ApiOption():
            return {option.id.partition("/")[0]}
        case RentOption():
            return {option.offer.provider}
        case OwnOption():
            return {"own"}
        case HybridOption() | StagedOption():
            return _vendors(option.host) | _vendors(option.api)
        case MixOption():
            return {v for pool in option.base for v in _vendors(pool.host)} | {
                v for host in option.hourly for v in _vendors(host)
            }


def _months_bound(option: Option, horizon_months: int) -> int:
    """Months of a minimum term; what is owned binds to the end of the plan."""
    match option:
        case RentOption():
            reserved = option.offer.term is Term.RESERVED
            return max(option.offer.min_term_months, 1 if reserved else 0)
        case OwnOption():
            return horizon_months
        case HybridOption() | StagedOption():
            return _months_bound(option.host, horizon_months)
        case MixOption():
            return max((_months_bound(pool.host, horizon_months) for pool in option.base), default=0)
        case ApiOption():
            return 0
