"""docs/scenario.md knows every key of the scenario file."""

import dataclasses
from pathlib import Path

import pytest

from planner import scenario as module

TABLES = (
    module.Scenario,
    module.Demand,
    module.Service,
    module.Fleet,
    module.Candidates,
    module.Machine,
    module.Sampling,
    module.Requirements,
    module.Use,
    module.PassRate,
)
KEYS = sorted({(table.__name__, field.name) for table in TABLES for field in dataclasses.fields(table)})


@pytest.mark.parametrize(("table", "key"), KEYS)
def test_every_key_is_on_the_page(repository: Path, table: str, key: str) -> None:
    page = (repository / "docs" / "scenario.md").read_text()
    named = (f"`{key}`", f"[{key}]", f"[{key}.", f"candidates.{key}]", f"requirements.{key}]")
    assert any(name in page for name in named), f"{table}.{key}"
