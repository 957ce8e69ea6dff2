"""What a profile file must be."""

import json
from pathlib import Path
from typing import Any

import pytest
from plan_case import ONE_AT_A_TIME

from planner.errors import InputError
from planner.profile import dump_profile, load_profile


def changed(directory: Path, **fields: Any) -> Path:
    path = directory / "profile.json"
    path.write_text(json.dumps({**json.loads(dump_profile(ONE_AT_A_TIME)), **fields}))
    return path


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    assert load_profile(changed(tmp_path)) == ONE_AT_A_TIME


def test_another_schema_version_is_refused_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"schema version 1: schema_version: .*recompute it with"):
        load_profile(changed(tmp_path, schema_version=2))


def test_an_unknown_key_deep_inside_is_refused(tmp_path: Path) -> None:
    fit = json.loads(dump_profile(ONE_AT_A_TIME))["fit"]
    fit["hull"]["colour"] = "blue"
    with pytest.raises(InputError, match=r"fit\.hull\.colour"):
        load_profile(changed(tmp_path, fit=fit))
