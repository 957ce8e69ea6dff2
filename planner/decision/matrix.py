"""What is not money, beside the money: one row per option, scored only by the user's own weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import bdtrc

from planner.cost.options import OptionKind
from planner.decision.plan_parts import QualityRate
from planner.units import HOURS_PER_MONTH

CRITERIA = ("quality", "availability", "service level", "independence", "freedom to leave", "data stays")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One criterion of one option: 0 (worst) to 1 (best), `None` where nobody knows, and the fact behind it."""

    criterion: str
    score: float | None
    fact: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRow:
    """An option's cost and, apart from it, what else counts. `score` is the weighted mean of the known cells.

    `score` is `None` without weights or where a weighted criterion is not known: half a score would mislead.
    `downtime_usd_per_month` is the expected loss while the peak cannot be served: 99.5 % available and 1,000 USD an
    hour lost are 0.005 * 730 * 1,000 = 3,650 USD a month. It stands beside the cost and is no part of it.
    """

    option: str
    usd_per_month: float
    downtime_h_per_month: float | None
    downtime_usd_per_month: float | None
    usd_per_1000_passed_requests: float | None
    cells: tuple[Cell, ...]
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the matrix has to know of one option. `None`: not known."""

    option: str
    kind: OptionKind
    usd_per_month: float
    requests_per_month: float
    quality: QualityRate | None
    availability_frac: float | None
    downtime_usd_per_h: float | None
    slo_held_frac: float | None
    vendors: int
    months_bound: int


def fleet_availability_frac(machines: int, needed: int, machine_availability_frac: float) -> float:
    """Share of the time in which at least `needed` of `machines` are up, each up independently.

    Sum over k >= needed of C(n, k) a^k (1 - a)^(n - k). Worked: 1 needed of 2 at 99 %: 1 - 0.01^2 = 99.99 %; 2 of 2:
    98.01 %. Machines that fail together (one zone, one switch, one bad release) are less available than this.
    """
    if needed > machines:
        return 0.0
    return float(bdtrc(needed - 1, machines, machine_availability_frac))


def decision_matrix(facts: Sequence[Facts], weights: Mapping[str, float]) -> tuple[MatrixRow, ...]:
    """Rows in the order of `facts`. Money has no weight here: it stands beside."""
    longest = max((f.months_bound for f in facts), default=0)
    return tuple(_row(f, weights, longest) for f in facts)


def _row(f: Facts, weights: Mapping[str, float], longest_months: int) -> MatrixRow:
    cells = tuple(_cells(f, longest_months))
    known = {cell.criterion: cell.score for cell in cells}
    used = {name: weight for name, weight in weights.items() if weight > 0}
    scores = [(known.get(name), weight) for name, weight in used.items()]
    total = sum(used.values())
    complete = bool(used) and all(score is not None for score, _ in scores)
    rate = f.quality.rate if f.quality else 0.0
    down_h = None if f.availability_frac is None else (1 - f.availability_frac) * HOURS_PER_MONTH
    lost = None if down_h is None or f.downtime_usd_per_h is None else down_h * f.downtime_usd_per_h
    return MatrixRow(
        option=f.option,
        usd_per_month=f.usd_per_month,
        downtime_h_per_month=down_h,
        downtime_usd_per_month=lost,
        usd_per_1000_passed_requests=f.usd_per_month / f.requests_per_month / rate * 1_000 if rate else None,
        cells=cells,
        score=sum((score or 0.0) * weight for score, weight in scores) / total if complete else None,
    )


def _cells(f: Facts, longest_months: int) -> list[Cell]:
    quality = f.quality
    stays = {OptionKind.OWN: 1.0, OptionKind.RENT: 0.5, OptionKind.MIX: 0.5}.get(f.kind, 0.0)
    where = {1.0: "on machines of one's own", 0.5: "on rented machines", 0.0: "goes to an API"}[stays]
    values = (
        (
            quality.rate if quality else None,
            f"passed {quality.passed} of {quality.total}, {quality.low:.0%} to {quality.high:.0%} at 95 % confidence"
            if quality
            else "no test result",
        ),
        (f.availability_frac, "not known" if f.availability_frac is None else f"{f.availability_frac:.3%} of the time"),
        (
            f.slo_held_frac,
            "not simulated" if f.slo_held_frac is None else f"held in {f.slo_held_frac:.0%} of the draws",
        ),
        (
            1.0 if f.kind is OptionKind.OWN else 1.0 - 1.0 / f.vendors,
            f"{f.vendors} vendor{'s' if f.vendors != 1 else ''}",
        ),
        (1.0 - f.months_bound / longest_months if longest_months else 1.0, f"bound for {f.months_bound} months"),
        (stays, where),
    )
    return [Cell(criterion=name, score=s, fact=fact) for name, (s, fact) in zip(CRITERIA, values, strict=True)]
