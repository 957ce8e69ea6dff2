"""Reading everything that a scenario names: the only IO of planning."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from planner.errors import InputError
from planner.profile import Profile, dump_profile, load_profile
from planner.scenario.api_prices import price_api_models
from planner.scenario.inputs import InputFile, PlanInputs
from planner.scenario.requirements import SELF_HOSTED, PassRate
from planner.scenario.tables import Demand, Scenario
from planner.scenario.toml_file import load_scenario, scenario_file
from planner.traces.presets import PREFIX, preset_workload
from planner.traces.request_log import LogReport, check_bad_rows, read_log_with_all_bad_rows
from planner.workload import WeekShape, Workload, flat_week, servegen_week, week_of
from pricing.book import Book, open_book
from pricing.hardware import find_accelerator, purchase_offer, rental_offer
from pricing.importers import ImportedOffers, read_quotes
from pricing.layers import Layer, Note, OwnRate, PriceLayers, layered
from pricing.load import load_licences
from pricing.operations import default_assumptions
from pricing.quality_files import read_results_csv
from pricing.types import TokenKind

REFERENCE = "reference:"
UPLOAD = "upload:"
"""A file that was given to the dashboard is named with the beginning of its hash, `upload:1a2b3c4d5e6f:log.csv`;
elsewhere it is the file of that name beside the scenario, and no other than the one with that hash."""

_UPLOAD = re.compile(r"upload:([0-9a-f]{12}):([^/\\]+)")
NO_QUOTES = ImportedOffers(rentals=(), purchases=(), refused=())

_PRESET_REQUESTS = 10_000
_PRESET_SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadLog:
    """A request log that has been read, and the hash of its bytes."""

    workload: Workload
    report: LogReport
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Supplied:
    """Logs and profiles that are in memory already, by the name that a scenario gives them instead of a path."""

    logs: Mapping[str, ReadLog] = field(default_factory=dict)
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    profile_sha256: Mapping[str, str] = field(default_factory=dict)  # of the bytes of those that are no file here


NOTHING = Supplied()


def load_inputs(path: Path) -> PlanInputs:
    """Read a scenario file (or the one in a directory) and all that it names. Raises `InputError` and `PriceError`."""
    return read_inputs(load_scenario(path), scenario_file(path).parent)


def read_inputs(scenario: Scenario, directory: Path, supplied: Supplied = NOTHING) -> PlanInputs:
    """Read what a scenario names and `supplied` does not hold, paths relative to `directory`.

    Raises `InputError` and `PriceError`.
    """
    scenario = _with_evaluations(scenario, directory)
    demand = scenario.workload
    log = supplied.logs.get(demand.log) or read_demand(demand, directory)
    check_bad_rows(Path(demand.log), log.report, demand.max_bad_rows)
    workload = log.workload
    machines = (*scenario.candidates.rent, *scenario.candidates.own)
    keys = sorted({key for m in machines if (key := m.profile or scenario.profile)})
    profiles = {key: supplied.profiles.get(key) or read_profile(key, directory) for key in keys}
    own, lock = (directory / path if path else None for path in (scenario.own_prices, scenario.price_lock))
    week = week_shape(demand, workload)
    prices = price_api_models(scenario, workload, week, _book(scenario, own, lock))
    quotes = _quoted(scenario, directory)
    rentals = {m.offer: rental_offer(m.offer, quotes.rentals) for m in scenario.candidates.rent}
    purchases = {m.offer: purchase_offer(m.offer, quotes.purchases) for m in scenario.candidates.own}
    cards = [*(r.accelerator for r in rentals.values()), *(p.accelerator for p in purchases.values())]
    files = [InputFile(role="request log", path=demand.log, sha256=log.sha256)]
    files += [_profile_file(key, profiles[key], directory, supplied) for key in keys]
    named = (
        ("evaluations", scenario.evaluations),
        ("own prices", scenario.own_prices),
        ("price lock", scenario.price_lock),
        ("quotes", scenario.quotes),
    )
    files += [_hashed(role, path, directory) for role, path in named if path]
    return PlanInputs(
        scenario=scenario,
        workload=replace(workload, source=demand.log),
        week=week,
        bad_rows=len(log.report.bad_rows),
        profiles=profiles,
        apis=prices.options,
        excluded=prices.excluded,
        rentals=rentals,
        purchases=purchases,
        cards={name: find_accelerator(name) for name in sorted(set(filter(None, cards)))},
        licences=load_licences(),
        defaults=tuple(default_assumptions()),
        files=tuple(files),
        price_lock=prices.lock,
    )


def read_demand(demand: Demand, directory: Path) -> ReadLog:
    """The log at a path relative to `directory`, or for "preset:NAME" requests drawn from the published catalogue.

    All bad rows are in the report; how many are too many is for the scenario to say. Raises `InputError`.
    """
    name = demand.log
    if name.startswith(PREFIX):
        preset = name.removeprefix(PREFIX)
        drawn = preset_workload(preset, requests=_PRESET_REQUESTS, requests_per_s=1.0, seed=_PRESET_SEED)
        content = b"".join(array.tobytes() for array in (drawn.arrival_s, drawn.input_tokens, drawn.output_tokens))
        report = LogReport(format="preset", rows=drawn.requests, bad_rows=())
        return ReadLog(workload=drawn, report=report, sha256=hashlib.sha256(content).hexdigest())
    workload, report = read_log_with_all_bad_rows(
        located(name, directory),
        columns={str(role): name for role, name in demand.columns.items()},
        time_zone=demand.time_zone,
    )
    return ReadLog(workload=workload, report=report, sha256=_hashed("request log", name, directory).sha256)


def read_profile(key: str, directory: Path) -> Profile:
    """A profile file, or for "reference:NAME" one that somebody else's measurements give."""
    if key.startswith(REFERENCE):
        from planner.steptime.reference import reference_profile  # fitting is costly to import and rarely asked for

        return reference_profile(key.removeprefix(REFERENCE))
    return load_profile(located(key, directory))


def located(name: str, directory: Path) -> Path:
    """Where the file is that a scenario names. Raises `InputError` for an upload that is another file by now."""
    if not name.startswith(UPLOAD):
        return directory / name
    found = _UPLOAD.fullmatch(name)
    if found is None:
        raise InputError(f"{name} names no upload; write `upload:HASH:NAME` with 12 digits of the file's sha256")
    path = directory / found[2]
    if path.is_file() and not hashlib.sha256(path.read_bytes()).hexdigest().startswith(found[1]):
        raise InputError(f"{path} is not the file that {name} was: its content differs; put the right one there")
    return path


def _profile_file(key: str, profile: Profile, directory: Path, supplied: Supplied) -> InputFile:
    if key in supplied.profile_sha256:
        return InputFile(role="profile", path=key, sha256=supplied.profile_sha256[key])
    if key.startswith(REFERENCE):
        return InputFile(role="profile", path=key, sha256=hashlib.sha256(dump_profile(profile)).hexdigest())
    return _hashed("profile", key, directory)


def week_shape(demand: Demand, workload: Workload) -> WeekShape:
    """The relative load of each hour of the week that a scenario asks for. Raises `InputError` as `week_of`."""
    match demand.week_shape:
        case "flat":
            return flat_week()
        case "servegen":
            return servegen_week()
        case "log":
            return replace(week_of(workload), name="that of the log", source=demand.log)


def _book(scenario: Scenario, own: Path | None, lock: Path | None) -> Book:
    """The prices under the scenario, with the scenario's own rates over them."""
    book = open_book(own, lock)
    if not scenario.rates:
        return book
    kinds = {kind.replace(" ", "_"): kind for kind in TokenKind}
    rates = tuple(
        OwnRate(
            layer=Layer.SCENARIO,
            model=rate.model,
            usd_per_mtok={kinds[kind]: amount for kind, amount in rate.usd_per_mtok.items()},
            why=Note(source=rate.source, as_of=rate.as_of),
        )
        for rate in scenario.rates
    )
    return replace(book, resolve=layered(PriceLayers(rates=rates), book.resolve))


def _with_evaluations(scenario: Scenario, directory: Path) -> Scenario:
    """The scenario with the test results of its file; what `[quality]` states itself wins. Raises `InputError`."""
    if scenario.evaluations is None:
        return scenario
    names = {*scenario.candidates.api, SELF_HOSTED}
    found: dict[str, PassRate] = {}
    for row in read_results_csv(directory / scenario.evaluations):
        if row.model not in names:
            continue
        if row.model in found:
            raise InputError(
                f"{directory / scenario.evaluations} has more than one result of {row.model}; keep one suite"
            )
        found[row.model] = PassRate(passed=row.passed, total=row.total, suite=row.suite, source=row.source)
    return replace(scenario, quality=found | scenario.quality)


def _quoted(scenario: Scenario, directory: Path) -> ImportedOffers:
    return read_quotes(directory / scenario.quotes) if scenario.quotes else NO_QUOTES


def _hashed(role: str, path: str, directory: Path) -> InputFile:
    try:
        content = located(path, directory).read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read the {role} {directory / path}: {error.strerror}; correct it in the scenario"
        ) from None
    return InputFile(role=role, path=path, sha256=hashlib.sha256(content).hexdigest())
