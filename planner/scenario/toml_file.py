"""The scenario file: the question to be answered, read from TOML into frozen values, all mistakes listed at once."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from planner.cost.limits import impossible, unknown
from planner.errors import InputError
from planner.scenario.tables import Scenario
from planner.scenario.toml_lines import key_lines

FILE_NAME = "scenario.toml"

_ADAPTER = TypeAdapter(Scenario)


def scenario_file(path: Path) -> Path:
    """`path` itself, or the `scenario.toml` in it where `path` is a directory."""
    return path / FILE_NAME if path.is_dir() else path


def load_scenario(path: Path) -> Scenario:
    """Read a scenario. Raises one `InputError` that lists every mistake with its line and its key."""
    file = scenario_file(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(
            f"cannot read the scenario {file}: {reason}; `breakeven demo` writes one to start from"
        ) from None
    return parse_scenario(text, name=str(file))


def parse_scenario(text: str, *, name: str) -> Scenario:
    """The scenario that a TOML text says; `name` stands for it in the `InputError` that lists every mistake."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name} is not valid TOML: {error}") from None
    lines = key_lines(text)
    mistakes = list(_impossible_assumptions(raw.get("assumptions"), lines))
    try:
        scenario = _ADAPTER.validate_python(raw)
    except ValidationError as error:
        mistakes += [_mistake(found, lines) for found in error.errors()]
    if mistakes:
        count = f"{len(mistakes)} mistakes" if len(mistakes) > 1 else "a mistake"
        raise InputError(f"{name} has {count}: " + "; ".join(said for _, said in sorted(mistakes))) from None
    return scenario


def _impossible_assumptions(given: object, lines: dict[tuple[int | str, ...], int]) -> Iterator[tuple[int, str]]:
    """Those that no assumption can be called, or whose value none can have; types are the validator's business."""
    for key, value in given.items() if isinstance(given, dict) else ():
        low, high = (value.get("low"), value.get("high")) if isinstance(value, dict) else (value, value)
        if isinstance(low, int | float) and isinstance(high, int | float):
            line, said = lines.get(("assumptions", key), 0), unknown(key) or impossible(key, low, high)
            if said:
                yield line, f'line {line}, assumptions."{key}" {said}' if line else f'assumptions."{key}" {said}'


def dump_scenario(scenario: Scenario) -> str:
    """The TOML text of a scenario; `load_scenario` gives back an equal one."""
    return tomli_w.dumps(_without_none(_ADAPTER.dump_python(scenario, mode="json")))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_none(inner) for inner in value]
    return value


_IN_OTHER_WORDS = {
    "missing": "is missing",
    "unexpected_keyword_argument": "there is no such key",
    "string_pattern_mismatch": "write the first month as YYYY-MM",
    "dataclass_type": "give a number or a table with low, mid and high",
}


def _mistake(found: ErrorDetails, lines: dict[tuple[int | str, ...], int]) -> tuple[int, str]:
    """The line of a mistake (0 where it has none) and what to say about it."""
    place = found["loc"]
    key = ".".join(str(part) for part in place) or "the file"
    line = next((lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in lines), 0)
    said = _IN_OTHER_WORDS.get(found["type"], found["msg"].removeprefix("Value error, "))
    return line, f"line {line}, {key}: {said}" if line else f"{key}: {said}"
