"""The answer as one frozen value: what the report, the files for finance, the command line and the dashboard show."""

from collections.abc import Mapping
from dataclasses import dataclass

from planner.analysis.breakeven import BreakEven
from planner.analysis.breakeven_views import BreakEvenViews
from planner.analysis.compare import VolumeChart
from planner.analysis.risk import Risk
from planner.analysis.sensitivity import TornadoBar
from planner.capacity.slo import Slo
from planner.capacity.staircase import CapacityCurve, CapacityPlan
from planner.cost.options import Frame, Option, OptionKind
from planner.cost.schedule import CostLine
from planner.decision.matrix import MatrixRow
from planner.decision.plan_parts import Latency
from planner.profile import Profile
from planner.ranges import Assumption
from planner.scenario.inputs import Excluded, InputFile
from planner.scenario.tables import Scenario
from planner.workload import WorkloadSummary
from pricing.lock import PriceLock


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSize:
    """How a self-hosted option is sized in the first month."""

    profile: str
    replicas_per_machine: int
    peak_machines: int
    week: CapacityPlan
    curve: CapacityCurve
    beyond_simulated: bool  # the peak asks for more replicas than were simulated


@dataclass(frozen=True, slots=True, kw_only=True)
class HybridSize:
    """How a hybrid is sized: whole machines all the time, and the share of the first month's requests above them."""

    host: str
    api: str
    machines: int
    overflow_frac: float
    week: CapacityPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedSize:
    """When a staged option changes: `api_months` months of tokens, then `machines` in the first self-hosted month."""

    api: str
    host: str
    api_months: int
    machines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MixPool:
    """The machines of one offer in a mix at the first month's peak; `by_hour`: they come and go with the need."""

    offer: str
    peak_machines: int
    by_hour: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Investment:
    """An option's cash less that of the cheapest API model, seen as an investment at the plan's discount rate.

    `None`: the outlay never comes back; there is no rate of return, or more than one (IRR only where it is unique).
    """

    against: str
    npv_saved_usd: float
    payback_month: float | None
    discounted_payback_month: float | None
    irr_frac_per_year: float | None
    mirr_frac_per_year: float | None


NO_LATENCY = Latency(
    ttft_s=None, tpot_s=None, e2e_s=None, unserved_frac=None, basis="not simulated", missing="it was not asked for"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionResult:
    """What one option costs with every assumption at mid. `*_by_month` start with month 0.

    `levelised_usd_per_month` is the constant month-end payment with the same present value as the cash; options are
    ranked by it. `usd_per_mtok` is the present value of the cost over that of all tokens (input and output); the same
    for input and output alone, where an API's bill says it or, on one's own machines, by the engine time that prompts
    and generated tokens take, which is not their number. `None` for mixes of both sides.
    """

    id: str
    kind: OptionKind
    levelised_usd_per_month: float
    first_month_usd: float
    npv_usd: float
    cash_total_usd: float
    pnl_total_usd: float
    usd_per_mtok: float
    usd_per_mtok_input: float | None
    usd_per_mtok_output: float | None
    cash_by_month_usd: tuple[float, ...]
    pnl_by_month_usd: tuple[float, ...]
    fleet: FleetSize | None
    hybrid: HybridSize | None
    staged: StagedSize | None
    investment: Investment | None  # None for API models and where there is none to compare with
    lines: tuple[CostLine, ...]
    mix: tuple[MixPool, ...] = ()  # the pools of a mix of offers
    latency: Latency = NO_LATENCY

    @property
    def week(self) -> CapacityPlan | None:
        """The first month's hours on one's own machines; `None` for API models, mixes of offers and staged options."""
        sized = self.fleet or self.hybrid
        return sized.week if sized else None


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierPoint:
    """What an option costs and takes with its fleet sized for every limit of the service level times `slo_factor`.

    The factor is `None` for an option that is not sized anew. On a frontier is what no other point undercuts in cost
    without being slower at the 95th percentile, or outruns without costing more.
    """

    option: str
    kind: OptionKind
    slo_factor: float | None
    slo: Slo | None
    machines: int | None  # at the first month's peak
    usd_per_month: float  # levelised
    latency: Latency
    on_ttft_frontier: bool = False
    on_tpot_frontier: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NotHeld:
    """Machines that cannot be chosen at a factor, and why."""

    option: str
    slo_factor: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """Cost against latency: see `planner.decision.frontier`."""

    points: tuple[FrontierPoint, ...]
    not_held: tuple[NotHeld, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceChange:
    """A dated change of a model's list price for this mix of requests: `factor` times the month before."""

    from_month: str  # YYYY-MM
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRow:
    """Where the price of an API model comes from and how it is announced to change within the horizon."""

    model: str
    matched_model: str
    usd_per_1000_requests: float  # first month
    changes: tuple[PriceChange, ...]
    source: str
    source_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One line of the list under the headline: what it is about, and its sentences."""

    about: str
    sentences: tuple[str, ...]

    @property
    def says(self) -> str:
        return " ".join(self.sentences)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer in words: one sentence, the list of what stands behind it, and `cautions` of one sentence each."""

    headline: str
    points: tuple[Point, ...]
    cautions: tuple[str, ...]

    @property
    def paragraph(self) -> str:
        """The sentences of all points as running text."""
        return " ".join(point.says for point in self.points)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """The answer and everything it rests on. `options` ascend in levelised cost; `break_even` compares the cheapest
    self-hosted with the cheapest API option at each volume and is `None` when one side has no option. `modelled` are
    the options behind `options`, in any order, and `frame` what they share: enough to compute every number again."""

    scenario: Scenario
    workload: WorkloadSummary
    workload_source: str
    bad_rows: int
    week_name: str
    week_source: str
    requests_per_day: float
    profiles: Mapping[str, Profile]
    assumptions: tuple[Assumption, ...]
    options: tuple[OptionResult, ...]
    modelled: tuple[Option, ...]
    frame: Frame
    excluded: tuple[Excluded, ...]
    questions: tuple[str, ...]  # what the requirements leave open
    break_even: BreakEven | None
    sensitivity: tuple[TornadoBar, ...]
    risk: Risk
    chart: VolumeChart
    prices: tuple[PriceRow, ...]
    files: tuple[InputFile, ...]
    verdict: Verdict
    price_lock: PriceLock | None = None
    break_even_views: BreakEvenViews | None = None
    matrix: tuple[MatrixRow, ...] = ()
    frontier: Frontier | None = None  # made where it is asked for: `planner.decision.frontier`

    def best(self, *kinds: OptionKind) -> OptionResult | None:
        """The cheapest option of the given kinds."""
        return next((option for option in self.options if option.kind in kinds), None)

    @property
    def best_self_host(self) -> OptionResult | None:
        return self.best(OptionKind.RENT, OptionKind.OWN)

    @property
    def best_api(self) -> OptionResult | None:
        return self.best(OptionKind.API)
