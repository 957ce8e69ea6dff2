"""Reading everything that a scenario names: the only IO of planning."""

import hashlib
from dataclasses import replace
from pathlib import Path

from planner.api_prices import price_api_models
from planner.errors import InputError
from planner.inputs import InputFile, PlanInputs
from planner.profile import Profile, dump_profile, load_profile
from planner.reference import reference_profile
from planner.scenario import Demand, Scenario, load_scenario, scenario_file
from planner.traces import read_log
from planner.workload import WeekShape, Workload, flat_week, servegen_week, week_of
from pricing.book import open_book
from pricing.hardware import find_accelerator, purchase_offer, rental_offer
from pricing.importers import ImportedOffers, read_quotes
from pricing.load import load_licences
from pricing.operations import default_assumptions

REFERENCE = "reference:"
NO_QUOTES = ImportedOffers(rentals=(), purchases=(), refused=())


def load_inputs(path: Path) -> PlanInputs:
    """Read a scenario file (or the one in a directory) and all that it names. Raises `InputError` and `PriceError`."""
    return read_inputs(load_scenario(path), scenario_file(path).parent)


def read_inputs(scenario: Scenario, directory: Path) -> PlanInputs:
    """Read what a scenario names, paths relative to `directory`. Raises `InputError` and `PriceError`."""
    demand = scenario.workload
    workload, report = read_log(directory / demand.log, max_bad_rows=demand.max_bad_rows)
    machines = (*scenario.candidates.rent, *scenario.candidates.own)
    keys = sorted({key for m in machines if (key := m.profile or scenario.profile)})
    profiles = {key: _profile(key, directory) for key in keys}
    own, lock = (directory / path if path else None for path in (scenario.own_prices, scenario.price_lock))
    week = _week(demand, workload)
    prices = price_api_models(scenario, workload, week, open_book(own, lock))
    quotes = _quoted(scenario, directory)
    rentals = {m.offer: rental_offer(m.offer, quotes.rentals) for m in scenario.candidates.rent}
    purchases = {m.offer: purchase_offer(m.offer, quotes.purchases) for m in scenario.candidates.own}
    cards = [*(r.accelerator for r in rentals.values()), *(p.accelerator for p in purchases.values())]
    files = [_hashed("request log", demand.log, directory)]
    files += [_profile_file(key, profiles[key], directory) for key in keys]
    named = (("own prices", scenario.own_prices), ("price lock", scenario.price_lock), ("quotes", scenario.quotes))
    files += [_hashed(role, path, directory) for role, path in named if path]
    return PlanInputs(
        scenario=scenario,
        workload=replace(workload, source=demand.log),
        week=week,
        bad_rows=len(report.bad_rows),
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


def _profile(key: str, directory: Path) -> Profile:
    """A profile file, or for "reference:NAME" one that somebody else's measurements give."""
    if key.startswith(REFERENCE):
        return reference_profile(key.removeprefix(REFERENCE))
    return load_profile(directory / key)


def _profile_file(key: str, profile: Profile, directory: Path) -> InputFile:
    if key.startswith(REFERENCE):
        return InputFile(role="profile", path=key, sha256=hashlib.sha256(dump_profile(profile)).hexdigest())
    return _hashed("profile", key, directory)


def _week(demand: Demand, workload: Workload) -> WeekShape:
    match demand.week_shape:
        case "flat":
            return flat_week()
        case "servegen":
            return servegen_week()
        case "log":
            return replace(week_of(workload), name="that of the log", source=demand.log)


def _quoted(scenario: Scenario, directory: Path) -> ImportedOffers:
    return read_quotes(directory / scenario.quotes) if scenario.quotes else NO_QUOTES


def _hashed(role: str, path: str, directory: Path) -> InputFile:
    try:
        content = (directory / path).read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read the {role} {directory / path}: {error.strerror}; correct it in the scenario"
        ) from None
    return InputFile(role=role, path=path, sha256=hashlib.sha256(content).hexdigest())
