"""A scenario as the query string of a link: what differs from the scenario that the server opened, and nothing else.

A link is short enough for any mail program, can be read and edited by hand, and holds no file's content. It may not
name files of the server that the opened scenario does not name itself: whoever sends a link must not be able to read
them.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from typing import Any

import tomli_w

from planner.errors import InputError
from planner.scenario.load import REFERENCE, UPLOAD
from planner.scenario.tables import Scenario
from planner.scenario.toml_file import dump_scenario, parse_scenario
from planner.traces.presets import PREFIX

MAX_LINK_CHARACTERS = 4000
"""Names and values of the query string together; longer ones are cut by proxies and mail programs."""

BASE = "base"

_TABLES = ("workload", "slo", "fleet", "candidates", "sampling", "requirements", "assumptions")
_IN_MEMORY = (PREFIX, REFERENCE, UPLOAD)


def fingerprint(base: Scenario) -> str:
    """Which scenario a link changes: ten hexadecimal digits."""
    return hashlib.sha256(dump_scenario(base).encode()).hexdigest()[:10]


def to_query(base: Scenario, wanted: Scenario) -> dict[str, str] | None:
    """What a link must say so that `base` becomes `wanted`; `None` where that is too much for a link.

    A removed key is written as `null`, a text as it is, everything else as JSON.
    """
    query = {BASE: fingerprint(base), **{key: after for key, (_, after) in changes(base, wanted).items()}}
    return query if sum(len(key) + len(value) + 2 for key, value in query.items()) <= MAX_LINK_CHARACTERS else None


def from_query(base: Scenario, query: Mapping[str, str]) -> Scenario:
    """The scenario that a link asks for. Raises one `InputError` for whatever is wrong with it."""
    if sum(len(key) + len(value) + 2 for key, value in query.items()) > MAX_LINK_CHARACTERS:
        raise InputError(f"the link is longer than {MAX_LINK_CHARACTERS:,} characters; ask for the scenario file")
    made_for = query.get(BASE, fingerprint(base))
    if made_for != fingerprint(base):
        raise InputError(
            f'the link changes another scenario than "{base.name}", which is open here; ask its sender for the '
            "scenario file"
        )
    flat = _flat(base)
    for key, text in query.items():
        if key != BASE:
            flat[key] = _value(text)
    wanted = parse_scenario(tomli_w.dumps(_nested(flat)), name="the link")
    refuse_other_files(base, wanted, "the link")
    return wanted


def refuse_other_files(base: Scenario, wanted: Scenario, name: str) -> None:
    """Raise `InputError` where `wanted` names a file of the server that `base` does not name."""
    strangers = sorted(file for file in files_named(wanted) - files_named(base) if not file.startswith(_IN_MEMORY))
    if strangers:
        raise InputError(
            f"{name} asks for the file {strangers[0]}, which the scenario open here does not use; "
            "upload the file instead"
        )


def changes(before: Scenario, after: Scenario) -> dict[str, tuple[str, str]]:
    """Every key that two scenarios do not share, with both values as text."""
    old, new = _flat(before), _flat(after)
    return {
        key: (_text(old.get(key)), _text(new.get(key))) for key in sorted({*old, *new}) if old.get(key) != new.get(key)
    }


def files_named(scenario: Scenario) -> set[str]:
    """Every file that a scenario asks for, as it writes it."""
    machines = (*scenario.candidates.rent, *scenario.candidates.own)
    named = (scenario.profile, scenario.own_prices, scenario.price_lock, scenario.quotes, scenario.evaluations)
    return {scenario.workload.log, *filter(None, named), *(m.profile for m in machines if m.profile)}


def _flat(scenario: Scenario) -> dict[str, Any]:
    """Top-level keys, and those of each table as `table.key`."""
    flat: dict[str, Any] = {}
    for name, value in tomllib.loads(dump_scenario(scenario)).items():
        if name in _TABLES:
            flat.update({f"{name}.{key}": inner for key, inner in value.items()})
        else:
            flat[name] = value
    return flat


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in flat.items():
        table, dot, inner = key.partition(".")
        if value is None:
            continue
        if dot and table in _TABLES:
            document.setdefault(table, {})[inner] = value
        else:
            document[key] = value
    return document


def _text(value: Any) -> str:
    if isinstance(value, str) and isinstance(_value(value), str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, float) and value != value:
        return text
    return value
