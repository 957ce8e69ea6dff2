"""All that a plan is made from, in memory: the scenario with the log, profiles, offers and dated prices it names."""

from collections.abc import Mapping
from dataclasses import dataclass

from planner.capacity.deferral import deferred_week
from planner.cost.options import ApiOption, OptionKind
from planner.profile import Profile
from planner.ranges import Assumption
from planner.scenario.tables import Machine, Scenario
from planner.workload import WeekShape, Workload
from pricing.licences import Licence
from pricing.lock import PriceLock
from pricing.types import Accelerator, PurchaseOffer, RentalOffer


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """A file that the plan rests on, by its path as the scenario writes it, with the hash of its bytes."""

    role: str
    path: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Excluded:
    """A candidate that cannot be chosen, and why."""

    id: str
    kind: OptionKind
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlanInputs:
    """Everything read from files and price tables. `profiles` is keyed by path as the scenario writes it.

    `price_lock` holds every API rate that the plan may use, `None` without API candidates.
    `apis` are the priced models; `excluded` those that cannot serve this log, with the reason. `cards` holds the
    accelerators of the offers by id.
    """

    scenario: Scenario
    workload: Workload
    week: WeekShape
    bad_rows: int
    profiles: Mapping[str, Profile]
    apis: tuple[ApiOption, ...]
    excluded: tuple[Excluded, ...]
    rentals: Mapping[str, RentalOffer]
    purchases: Mapping[str, PurchaseOffer]
    cards: Mapping[str, Accelerator]
    licences: tuple[Licence, ...]
    defaults: tuple[Assumption, ...]
    files: tuple[InputFile, ...]
    price_lock: PriceLock | None = None

    @property
    def served_week(self) -> WeekShape:
        """When the work of a week is done: `week` with the share that may wait moved into the valleys."""
        demand = self.scenario.workload
        return deferred_week(self.week, deferrable_frac=demand.deferrable_frac, deadline_h=demand.deferrable_deadline_h)

    def profile_key(self, machine: Machine) -> str:
        """The profile of a candidate: its own, else the scenario's."""
        key = machine.profile or self.scenario.profile
        assert key is not None  # the scenario reader refuses a machine without one
        return key
