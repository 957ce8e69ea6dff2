"""The slow steps of a plan in the background: shown as they go, given up on demand, kept for the next time.

A plan is made in three steps: read what the scenario names, simulate what a replica carries, cost all options. Each
result is kept under the inputs that it rests on, so that moving a slider repeats only what it must. What rests on
uploaded files is kept with the session that uploaded them, all else with the server.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from planner.console import log
from planner.decision.decide import Curves, largest_rate_per_s, make_plan, size_fleets
from planner.decision.frontier import with_frontier
from planner.decision.plan import OptionResult, Plan
from planner.decision.verdict import headline_of
from planner.errors import BreakevenError
from planner.pages.link import files_named
from planner.profile import Profile
from planner.scenario.inputs import PlanInputs
from planner.scenario.load import NOTHING, UPLOAD, ReadLog, Supplied, read_demand, read_inputs, read_profile
from planner.scenario.requirements import Requirements
from planner.scenario.tables import Fleet, Sampling, Scenario, Service, figure
from planner.scenario.toml_file import dump_scenario

T = TypeVar("T")


class Cancelled(Exception):
    """The person does not want the result any more."""


class Kept:
    """The most recent results by what they rest on. Safe to share between threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Any | None:
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
            return self._found.get(key)

    def put(self, key: Hashable, value: T) -> T:
        with self._lock:
            self._found[key] = value
            self._found.move_to_end(key)
            while len(self._found) > self._most:
                self._found.popitem(last=False)
        return value

    def __len__(self) -> int:
        return len(self._found)


@dataclass(frozen=True, slots=True)
class Shelf:
    """What is kept: few of the large, more of the small."""

    logs: Kept = field(default_factory=lambda: Kept(3))
    profiles: Kept = field(default_factory=lambda: Kept(32))
    inputs: Kept = field(default_factory=lambda: Kept(6))
    curves: Kept = field(default_factory=lambda: Kept(64))
    plans: Kept = field(default_factory=lambda: Kept(12))
    frontiers: Kept = field(default_factory=lambda: Kept(12))


SHARED = Shelf()
"""Results that rest on the server's own files and on nothing that a session brought along."""


@dataclass(slots=True)
class Progress:
    """What a job is doing, for a person who waits."""

    step: str = "Starting ..."
    done_frac: float = 0.0


class Job:
    """Makes one plan in a thread of its own for all who wait for it, with its frontier where asked.

    `finished` is set at the end, whatever the end.
    """

    def __init__(
        self, scenario: Scenario, directory: Path, supplied: Supplied, own: Shelf, *, latency_frontier: bool = False
    ) -> None:
        self.key = plan_key(scenario, directory)
        self.progress = Progress()
        self.finished = threading.Event()
        self.plan: Plan | None = None
        self.error: BaseException | None = None
        self.headline: str | None = None  # known before the rest
        self.answered = threading.Event()
        self._lock = threading.Lock()
        self._waiting, self._wanted = 0, True  # wanted before the first session comes, too
        self._arguments = scenario, directory, supplied, own
        self._latency_frontier = latency_frontier
        self.thread = threading.Thread(target=self._work, name="plan", daemon=True)
        self.thread.start()

    def join(self) -> bool:
        """Let one more session wait for the job; false where it has ended or was given up."""
        with self._lock:
            if self.finished.is_set() or not self._wanted:
                return False
            self._waiting += 1
            return True

    def cancel(self) -> None:
        """One session waits no longer; when nobody does, the job ends at its next step and its result is dropped."""
        with self._lock:
            self._waiting -= 1
            self._wanted = self._waiting > 0

    def tell(self, step: str, done_frac: float) -> None:
        """Note the progress. Raises `Cancelled` where nobody waits any more."""
        if not self._wanted:
            raise Cancelled
        self.progress = Progress(step=step, done_frac=min(max(done_frac, 0.0), 1.0))

    def _answer(self, options: tuple[OptionResult, ...]) -> None:
        self.headline = headline_of(options) if options else None
        self.tell("Working out break-even and risk", 0.9)
        self.answered.set()

    def _work(self) -> None:
        try:
            if self._latency_frontier:
                self.plan = make_with_frontier(*self._arguments, self.tell)
            else:
                self.plan = make(*self._arguments, self.tell, self._answer)
        except Exception as error:  # nobody else would see it: the page that waits says what happened
            self.error = error
            if not isinstance(error, BreakevenError | ValueError | Cancelled):
                log.print_exception()
        finally:
            self.answered.set()
            self.finished.set()


_UNDER_WAY: dict[Hashable, Job] = {}
"""Jobs that rest on the server's own files alone: every session that asks for the same plan waits for the same one."""

_UNDER_WAY_LOCK = threading.Lock()


def start_ahead(scenario: Scenario, directory: Path) -> None:
    """Begin with a plan before anybody has asked for it; the first session that does takes it over."""
    with _UNDER_WAY_LOCK:
        job = Job(scenario, directory, NOTHING, Shelf())
        _UNDER_WAY[job.key] = job


def job_for(scenario: Scenario, directory: Path, supplied: Supplied, own: Shelf) -> Job:
    """The job that makes this plan already, or a new one; what rests on uploads is made for its session alone."""
    if shelf_of(scenario, own) is own:
        job = Job(scenario, directory, supplied, own)
        job.join()
        return job
    with _UNDER_WAY_LOCK:
        for key in [key for key, job in _UNDER_WAY.items() if job.finished.is_set()]:
            del _UNDER_WAY[key]
        key = plan_key(scenario, directory)
        if key not in _UNDER_WAY or not _UNDER_WAY[key].join():
            _UNDER_WAY[key] = Job(scenario, directory, NOTHING, Shelf())
            _UNDER_WAY[key].join()
        return _UNDER_WAY[key]


def shelf_of(scenario: Scenario, own: Shelf) -> Shelf:
    """Where results of this scenario belong."""
    return own if any(name.startswith(UPLOAD) for name in files_named(scenario)) else SHARED


def plan_key(scenario: Scenario, directory: Path) -> Hashable:
    """What a plan rests on: the scenario, and its files as they are now."""
    return dump_scenario(scenario), str(directory), _stamps(scenario, directory)


def make(
    scenario: Scenario,
    directory: Path,
    supplied: Supplied,
    own: Shelf,
    tell: Callable[[str, float], None],
    on_ranked: Callable[[tuple[OptionResult, ...]], None] | None = None,
) -> Plan:
    """The plan of a scenario from what is kept and, where that is not enough, from the start."""
    shelf, key = shelf_of(scenario, own), plan_key(scenario, directory)
    made: Plan | None = shelf.plans.get(key)
    if made is not None:
        return made
    inputs, curves = _read_and_sized(scenario, directory, supplied, own, tell)
    tell("Costing every option", 0.8)
    return shelf.plans.put(key, make_plan(inputs, curves, on_ranked))


def make_with_frontier(
    scenario: Scenario, directory: Path, supplied: Supplied, own: Shelf, tell: Callable[[str, float], None]
) -> Plan:
    """The plan with its frontier of cost against latency, as `breakeven plan` makes it."""
    shelf, key = shelf_of(scenario, own), plan_key(scenario, directory)
    found: Plan | None = shelf.frontiers.get(key)
    if found is not None:
        return found
    plan = make(scenario, directory, supplied, own, tell)
    inputs, curves = _read_and_sized(scenario, directory, supplied, own, tell)
    step = "Sizing the fleets for tighter and looser limits"
    tell(step, 0.1)
    return shelf.frontiers.put(key, with_frontier(plan, inputs, curves, lambda done_frac: tell(step, done_frac)))


def _read_and_sized(
    scenario: Scenario, directory: Path, supplied: Supplied, own: Shelf, tell: Callable[[str, float], None]
) -> tuple[PlanInputs, Curves]:
    """What a plan rests on and what its replicas carry, kept or made."""
    shelf, stamps = shelf_of(scenario, own), _stamps(scenario, directory)
    tell("Reading the log and the prices", 0.0)
    read = part_that_is_read(scenario)
    inputs: PlanInputs | None = shelf.inputs.get((dump_scenario(read), str(directory), stamps))
    if inputs is None:
        inputs = read_inputs(read, directory, _kept_files(read, directory, supplied, own, stamps))
        shelf.inputs.put((dump_scenario(read), str(directory), stamps), inputs)
    inputs = replace(inputs, scenario=scenario)
    tell("Simulating what one replica carries", 0.1)
    sized = (dump_scenario(part_that_is_simulated(scenario)), largest_rate_per_s(inputs), str(directory), stamps)
    curves: Curves | None = shelf.curves.get(sized)
    if curves is None:
        curves = shelf.curves.put(sized, size_fleets(inputs))
    return inputs, curves


def part_that_is_read(scenario: Scenario) -> Scenario:
    """The scenario without what neither reading nor pricing depends on; all else, new fields included, counts."""
    kept = {name: value for name, value in scenario.assumptions.items() if name == "cached_input_frac"}
    return replace(
        scenario,
        name="-",
        workload=replace(scenario.workload, requests_per_day=None, growth_frac_per_month=figure(0.0)),
        slo=Service(ttft_s=1.0),
        fleet=Fleet(),
        sampling=Sampling(),
        requirements=Requirements(),
        latency={},
        assumptions=kept,
    )


def part_that_is_simulated(scenario: Scenario) -> Scenario:
    """The scenario without what a replica does not depend on; how much traffic there is counts as a rate, beside it."""
    none, candidates = figure(0.0), scenario.candidates
    if candidates.rent or candidates.own:
        candidates = replace(candidates, api=candidates.api and ("any/model",))  # whether there is one matters
    return replace(
        scenario,
        name="-",
        workload=replace(scenario.workload, requests_per_day=None, growth_frac_per_month=none, cached_input_frac=none),
        fleet=replace(scenario.fleet, spare_replicas=1, min_replicas=1, scale_by_hour=False),
        candidates=candidates,
        horizon_months=1,
        start_month="2000-01",
        sampling=Sampling(),
        requirements=Requirements(),
        quality={},
        assumptions={},
        rates=(),
        latency={},
    )


def log_of(scenario: Scenario, directory: Path, supplied: Supplied, own: Shelf) -> ReadLog:
    """The request log of a scenario, read once."""
    demand = scenario.workload
    found = supplied.logs.get(demand.log)
    if found is not None:
        return found
    how = (demand.log, demand.time_zone, tuple(demand.columns.items()))
    shelf, place = shelf_of(scenario, own), (how, str(directory), _stamps(scenario, directory))
    kept: ReadLog | None = shelf.logs.get(place)
    return kept or shelf.logs.put(place, read_demand(demand, directory))


def _kept_files(scenario: Scenario, directory: Path, supplied: Supplied, own: Shelf, stamps: Hashable) -> Supplied:
    """The log and the profiles, read once; uploads are in `supplied` already."""
    logs = {scenario.workload.log: log_of(scenario, directory, supplied, own)}
    shelf, machines = shelf_of(scenario, own), (*scenario.candidates.rent, *scenario.candidates.own)
    profiles: dict[str, Profile] = {}
    for key in {key for machine in machines if (key := machine.profile or scenario.profile)}:
        if key not in supplied.profiles:
            place = (key, str(directory), stamps)
            profiles[key] = shelf.profiles.get(place) or shelf.profiles.put(place, read_profile(key, directory))
    return Supplied(
        logs={**supplied.logs, **logs},
        profiles={**supplied.profiles, **profiles},
        profile_sha256=supplied.profile_sha256,
    )


def _stamps(scenario: Scenario, directory: Path) -> tuple[tuple[str, int, int], ...]:
    """Size and time of change of every file on disk, so that an edited file is read again."""
    found = []
    for name in sorted(files_named(scenario)):
        path = directory / name
        if path.is_file():
            stat = path.stat()
            found.append((name, stat.st_mtime_ns, stat.st_size))
    return tuple(found)
