"""The README stays true: every command is in it, and every command's help shows an example."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from measure.cli import app

COMMANDS = typer.main.get_command(app)
NAMES = sorted(COMMANDS.list_commands(typer.Context(COMMANDS)))  # type: ignore[attr-defined]


def test_all_commands_are_registered() -> None:
    assert {"app", "demo", "measure", "plan", "prices", "profile", "workload"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_command_is_in_the_readme_and_its_help_has_an_example(name: str, repository: Path) -> None:
    readme = (repository / "README.md").read_text()
    assert f"`breakeven {name}`" in readme
    shown = subprocess.run(
        [sys.executable, "-m", "measure.cli", name, "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert re.search(rf"breakeven {name}", shown.split("Usage", 1)[1].split("\n", 1)[1]), shown


def test_readme_names_only_make_targets_that_exist(repository: Path) -> None:
    makefile = (repository / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    named = set(re.findall(r"make ([a-z]+)\b", (repository / "README.md").read_text()))
    assert named <= targets


def test_lock_pins_every_package_by_name_and_version_only(repository: Path) -> None:
    lines = (repository / "requirements.lock").read_text().splitlines()
    assert lines
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line), line
