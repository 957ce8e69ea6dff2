"""A scenario, and those kept beside it, as the query string of a link: what differs from the one the server opened.

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
KEPT = "keep."
"""Begins the key of a scenario that was kept for comparison; its name follows, its changes are the value."""

MOST_KEPT = 4
LONGEST_NAME = 60
"""Of a kept scenario, in characters."""

_TABLES = ("workload", "slo", "fleet", "candidates", "sampling", "requirements", "assumptions")
_IN_MEMORY = (PREFIX, REFERENCE, UPLOAD)


def fingerprint(base: Scenario) -> str:
    """Which scenario a link changes: ten hexadecimal digits."""
    return hashlib.sha256(dump_scenario(base).encode()).hexdigest()[:10]


def to_query(base: Scenario, wanted: Scenario, kept: Mapping[str, Scenario] | None = None) -> dict[str, str] | None:
    """What a link must say so that `base` becomes `wanted`; `None` where that is too much for a link.

    A removed key is written as `null`, a text as it is, everything else as JSON. Scenarios that are `kept` beside it
    come along where there is room for all of them, else none of them does.
    """
    query = {BASE: fingerprint(base), **{key: after for key, (_, after) in changes(base, wanted).items()}}
    beside = {f"{KEPT}{name}": _json(_changed(base, scenario)) for name, scenario in (kept or {}).items()}
    if _length(query | beside) <= MAX_LINK_CHARACTERS:
        return query | beside
    return query if _length(query) <= MAX_LINK_CHARACTERS else None


def from_query(base: Scenario, query: Mapping[str, str]) -> Scenario:
    """The scenario that a link opens. Raises one `InputError` for whatever is wrong with it."""
    if _length(query) > MAX_LINK_CHARACTERS:
        raise InputError(f"the link is longer than {MAX_LINK_CHARACTERS:,} characters; ask for the scenario file")
    made_for = query.get(BASE, fingerprint(base))
    if made_for != fingerprint(base):
        raise InputError(
            f'the link changes another scenario than "{base.name}", which is open here; ask its sender for the '
            "scenario file"
        )
    own = {key: _value(text) for key, text in query.items() if key != BASE and not key.startswith(KEPT)}
    return _applied(base, own, "the link")


def kept_from_query(base: Scenario, query: Mapping[str, str]) -> dict[str, Scenario]:
    """The scenarios that a link keeps beside the open one, by name. Raises `InputError` as `from_query`."""
    found = {key.removeprefix(KEPT): text for key, text in query.items() if key.startswith(KEPT)}
    if len(found) > MOST_KEPT:
        raise InputError(f"the link keeps {len(found)} scenarios and {MOST_KEPT} can be; take some out")
    kept = {}
    for name, text in found.items():
        changed = _value(text)
        if not isinstance(changed, dict) or not 0 < len(name) <= LONGEST_NAME:
            raise InputError(f"the link keeps {name[:LONGEST_NAME]!r}, which is no scenario; take it out of the link")
        kept[name] = _applied(base, changed, f"the link's {name}")
    return kept


def _applied(base: Scenario, changed: Mapping[str, Any], name: str) -> Scenario:
    """The scenario with the changes of a link, which `name` names in errors."""
    try:
        text = tomli_w.dumps(_nested(_flat(base) | dict(changed)))
        text.encode()
    except (TypeError, ValueError, RecursionError):
        raise InputError(f"{name} holds a value that no scenario can have; ask for the scenario file") from None
    wanted = parse_scenario(text, name=name)
    refuse_other_files(base, wanted, name)
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


def _changed(before: Scenario, after: Scenario) -> dict[str, Any]:
    """The new value of every key that two scenarios do not share; `None` for a key that is gone."""
    old, new = _flat(before), _flat(after)
    return {key: new.get(key) for key in sorted({*old, *new}) if old.get(key) != new.get(key)}


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
    return _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _length(query: Mapping[str, str]) -> int:
    return sum(len(key) + len(value) + 2 for key, value in query.items())


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, float) and value != value:
        return text
    return value
