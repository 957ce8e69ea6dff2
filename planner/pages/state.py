"""What one session has open: its scenario, what it uploaded, and the link that says so.

The scenario is the only state. Inputs are drawn from it and change it; the query string is written from it and read
back when the address changes by other means (a link that was opened, the browser's back button).
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import streamlit as st

from planner.decision.plan import Plan
from planner.errors import BreakevenError
from planner.examples import newest_scenario
from planner.pages.link import BASE, KEPT, from_query, kept_from_query, to_query
from planner.pages.work import Job, Shelf
from planner.profile import Profile
from planner.scenario.load import ReadLog, Supplied
from planner.scenario.tables import Figure, Scenario
from planner.scenario.toml_file import dump_scenario, load_scenario, parse_scenario, scenario_file

SCENARIO_VARIABLE = "BREAKEVEN_SCENARIO"
"""Environment variable with the scenario to open; without it the newest one under `runs/`, then the example."""

_STATE = "session"
_MOST_UPLOADS = 8


@dataclass(slots=True)
class Session:
    """Everything that belongs to one browser tab and to nobody else; gone when the tab is."""

    base: Scenario
    directory: Path
    scenario: Scenario
    logs: dict[str, ReadLog] = field(default_factory=dict)
    profiles: dict[str, Profile] = field(default_factory=dict)
    profile_files: dict[str, bytes] = field(default_factory=dict)
    kept: dict[str, Scenario] = field(default_factory=dict)  # to compare with
    shelf: Shelf = field(default_factory=Shelf)
    written: Mapping[str, str] | None = None  # the query string that this session wrote last
    page: str | None = None
    job: Job | None = None
    frontier_job: Job | None = None
    last_good: Scenario | None = None
    error: str | None = None

    @property
    def supplied(self) -> Supplied:
        return Supplied(
            logs=self.logs,
            profiles=self.profiles,
            profile_sha256={name: hashlib.sha256(content).hexdigest() for name, content in self.profile_files.items()},
        )

    @property
    def query(self) -> dict[str, str] | None:
        """The link to what is open and what is kept beside it, `None` where it is too long for one."""
        return to_query(self.base, self.scenario, self.kept)

    @property
    def is_kept_in_link(self) -> bool:
        """Whether the link holds the kept scenarios too, where there are any."""
        return not self.kept or any(key.startswith(KEPT) for key in self.query or {})

    def add_log(self, name: str, log: ReadLog) -> None:
        self.logs[name] = log
        _forget_oldest(self.logs)

    def add_profile(self, name: str, profile: Profile, content: bytes) -> None:
        self.profiles[name], self.profile_files[name] = profile, content
        _forget_oldest(self.profile_files)
        _forget_oldest(self.profiles)


def session() -> Session:
    """The session of the page that is being drawn; stops it with one sentence where there is nothing to open."""
    found = st.session_state.get(_STATE)
    if found is None:
        path = scenario_path()
        if path is None:
            st.info(
                "There is no plan yet. Run `breakeven demo` in a terminal, or start with `breakeven app DIRECTORY`."
            )
            st.stop()
        try:
            base = load_scenario(path)
        except BreakevenError as error:
            st.error(str(error))
            st.stop()
        found = st.session_state[_STATE] = Session(base=base, directory=path.parent, scenario=base)
    assert isinstance(found, Session)
    return found


def scenario_path() -> Path | None:
    """The scenario file to open, or `None` where there is none yet."""
    named = os.environ.get(SCENARIO_VARIABLE)
    return scenario_file(Path(named)) if named else newest_scenario()


def follow_address(page: str) -> None:
    """Take over what the address asks for, where it is not what this session wrote into it.

    An address without a query comes from a step to another page or back to the very beginning: it asks for nothing.
    """
    now, query = session(), st.query_params.to_dict()
    moved, now.page = page != now.page, page
    if query and query != now.written:
        try:
            wanted, kept = from_query(now.base, query), kept_from_query(now.base, query)
            if now.is_kept_in_link or kept:  # what had no room in the link is not undone by it
                now.kept = kept
            now.scenario, now.error = wanted, None
        except BreakevenError as error:
            now.error = f"The link could not be followed: {error}."
        now.written = query
    elif query or now.written is None or moved:
        write_address()


def write_address() -> None:
    """Write the open scenario into the address; of one that is too long for a link only the beginning stays."""
    now = session()
    query = now.query or {BASE: "too-long"}
    if query != now.written or query != st.query_params.to_dict():
        now.written = query
        st.query_params.from_dict(query)


def change(scenario: Scenario) -> None:
    """Open another scenario, if it is one; the address follows, so that the browser's back button undoes it."""
    now = session()
    try:
        parse_scenario(dump_scenario(scenario), name="the changed scenario")
    except BreakevenError as error:
        now.error = f"{error}; the change was not taken."
    else:
        now.scenario, now.error = scenario, None


def note_plan(plan: Plan) -> None:
    """Remember the scenario of a plan that was made: where a cancelled change returns to."""
    now = session()
    now.last_good, now.job, now.error = now.scenario, None, None
    assert plan.scenario.name == now.scenario.name


def go_back() -> None:
    """Return to the last scenario that had a plan."""
    now = session()
    if now.job is not None:
        now.job.cancel()
    now.job, now.scenario, now.error = None, now.last_good or now.base, None


def with_assumption(scenario: Scenario, **changed: Figure | None) -> Scenario:
    """The scenario with other assumptions; `None` takes one back to its default."""
    kept = {name: value for name, value in scenario.assumptions.items() if name not in changed}
    return replace(scenario, assumptions={**kept, **{n: v for n, v in changed.items() if v is not None}})


def _forget_oldest(uploads: dict[str, ReadLog] | dict[str, Profile] | dict[str, bytes]) -> None:
    while len(uploads) > _MOST_UPLOADS:
        uploads.pop(next(iter(uploads)))
