"""Starts the server and prepares the first visit beside it: imports, and the plan of the scenario that it opens with.

Streamlit imports nothing of a script before somebody opens it; without this the first visitor waits for all of it.
"""

import importlib
import threading

from streamlit.web import bootstrap, cli  # all of Streamlit first: two threads never import it at once

from planner.errors import BreakevenError

assert bootstrap

_NEEDED = (
    *("pandas", "pyarrow", "planner.charts.plan", "planner.charts.demand"),
    *("planner.charts.profile", "planner.charts.risk"),
    *("planner.pages.gate", "planner.pages.frame", "planner.pages.scenarios"),
)
"""What the first page needs, and what the next ones add to it."""


def prepare() -> None:
    """Make the first plan. What goes wrong here is said on the page, to whom it concerns."""
    from planner.pages.state import scenario_path
    from planner.pages.work import start_ahead
    from planner.scenario.toml_file import load_scenario

    path = scenario_path()
    if path is not None:
        try:
            start_ahead(load_scenario(path), path.parent)
        except BreakevenError:
            return
    for name in _NEEDED:
        importlib.import_module(name)


if __name__ == "__main__":
    threading.Thread(target=prepare, name="prepare", daemon=True).start()
    cli.main(prog_name="streamlit")
