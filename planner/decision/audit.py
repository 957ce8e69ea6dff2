"""The way back from a headline: to the lines it is the sum of, to the inputs of each line, to their source and date."""

from collections.abc import Sequence
from dataclasses import dataclass

from planner.cost.finance import annuity_factor, monthly_rate
from planner.cost.options import OptionKind
from planner.cost.schedule import CostLine
from planner.decision.plan import OptionResult, Plan
from planner.ranges import Assumption

_DEMAND = ("requests_per_day", "growth_frac_per_month")
_OF_API = (*_DEMAND, "cached_input_frac")
_OF_HOST = (*_DEMAND, "throughput_ratio")
_BY_LOAD = ("API", "rent", "purchase", "depreciation", "resale", "power", "colocation", "support", "egress")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLine:
    """All months of one item of an option's schedule.

    `levelised_usd_per_month` is its part of the option's levelised cost: the parts of all lines add up to it. `basis`
    are the distinct bases of its months in order, `inputs` the names of the assumptions behind price and quantity.
    """

    category: str
    item: str
    unit: str
    months: int
    quantity: float
    cash_usd: float
    pnl_usd: float
    levelised_usd_per_month: float
    basis: tuple[str, ...]
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """One option unfolded; `assumptions` are all inputs that its lines name, with source and date."""

    option: str
    levelised_usd_per_month: float
    lines: tuple[AuditLine, ...]
    assumptions: tuple[Assumption, ...]


def audit(plan: Plan, option: OptionResult) -> Audit:
    """Unfold an option's levelised cost, the largest part first."""
    by_name = {assumption.name: assumption for assumption in plan.assumptions}
    rate = float(monthly_rate(by_name["discount_rate_frac_per_year"].value.mid))
    factor = float(annuity_factor(rate, plan.scenario.horizon_months))
    grouped: dict[tuple[str, str, str], list[CostLine]] = {}
    for line in option.lines:
        grouped.setdefault((line.category, line.item, line.unit), []).append(line)
    lines = [_line(option, lines, by_name, rate, factor) for lines in grouped.values()]
    lines.sort(key=lambda line: (-abs(line.levelised_usd_per_month), line.category, line.item))
    named = dict.fromkeys(name for line in lines for name in line.inputs)
    return Audit(
        option=option.id,
        levelised_usd_per_month=option.levelised_usd_per_month,
        lines=tuple(lines),
        assumptions=(*(by_name[name] for name in named), by_name["discount_rate_frac_per_year"]),
    )


def _line(
    option: OptionResult, lines: Sequence[CostLine], known: dict[str, Assumption], rate: float, factor: float
) -> AuditLine:
    first = lines[0]
    basis = tuple(dict.fromkeys(line.basis for line in lines))
    return AuditLine(
        category=first.category,
        item=first.item,
        unit=first.unit,
        months=len(lines),
        quantity=sum(line.quantity for line in lines),
        cash_usd=sum(line.cash_usd for line in lines),
        pnl_usd=sum(line.pnl_usd for line in lines),
        levelised_usd_per_month=sum(line.cash_usd * (1.0 + rate) ** -line.month for line in lines) / factor,
        basis=basis,
        inputs=_inputs(option, first.category, basis, known),
    )


def _inputs(option: OptionResult, category: str, basis: Sequence[str], known: dict[str, Assumption]) -> tuple[str, ...]:
    """Assumptions that the basis names, in full or after the offer that came first; then what drives the quantity."""
    found: list[str] = []
    for text in basis:
        offer = text.partition("/")[0] if "/" in text else ""
        for part in (p.strip().removeprefix("times ") for p in text.replace(";", ",").split(",")):
            words = [part, f"{offer}/{part}", *(w for w in part.split() if w.endswith("_frac_per_year"))]
            found += [name for name in words if name in known]
    if category in _BY_LOAD:
        found += _OF_API if category == "API" else _OF_HOST
        offers = {name.partition("/")[0] for name in found if "/" in name}
        found += [f"{offer}/replicas_per_machine" for offer in sorted(offers)]
    if category == "API" and option.kind is not OptionKind.API:
        found += ["throughput_ratio"]
    return tuple(name for name in dict.fromkeys(found) if name in known)
