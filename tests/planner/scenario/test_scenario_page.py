"""docs/scenario.md knows every key of the scenario file."""

import dataclasses
from pathlib import Path

import pytest

from planner.scenario.requirements import PassRate, Requirements, Use
from planner.scenario.tables import Candidates, Demand, Fleet, Machine, Sampling, Scenario, Service

TABLES = (Scenario, Demand, Service, Fleet, Candidates, Machine, Sampling, Requirements, Use, PassRate)
KEYS = sorted({(table.__name__, field.name) for table in TABLES for field in dataclasses.fields(table)})


@pytest.mark.parametrize(("table", "key"), KEYS)
def test_every_key_is_on_the_page(repository: Path, table: str, key: str) -> None:
    page = (repository / "docs" / "scenario.md").read_text()
    named = (f"`{key}`", f"[{key}]", f"[{key}.", f"candidates.{key}]", f"requirements.{key}]")
    assert any(name in page for name in named), f"{table}.{key}"
