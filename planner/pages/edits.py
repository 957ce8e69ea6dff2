"""What an edit in a table makes of the scenario: pure functions from the cells that changed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from planner.scenario.tables import Figure, Machine, RateKind, StatedRate

YOURS = "set in the dashboard"
RATE_COLUMNS: dict[str, RateKind] = {
    "input [USD/Mtok]": "input",
    "cached input [USD/Mtok]": "cached_input",
    "output [USD/Mtok]": "output",
}

Cells = Mapping[str, Any]


def edited_figure(before: Cells, edit: Cells, today: date) -> Figure:
    """The figure of a row with `low`, `mid`, `high` and `source` after an edit of some of them.

    Where only the best guess was moved, the span is stretched to hold it: 1, 2, 3 with mid 5 becomes 1, 5, 5.
    Raises `ValueError` for numbers that are no range.
    """
    values = {name: edit.get(name, before[name]) for name in ("low", "mid", "high")}
    if None in values.values():
        raise ValueError("low, mid and high are all needed")
    low, mid, high = values["low"], values["mid"], values["high"]
    if "low" not in edit:
        low = min(low, mid)
    if "high" not in edit:
        high = max(high, mid)
    return Figure(low=low, mid=mid, high=high, source=edit.get("source") or YOURS, as_of=today.isoformat())


def edited_rates(
    stated: Sequence[StatedRate], edits: Mapping[str, Cells], today: date
) -> tuple[tuple[StatedRate, ...], list[str]]:
    """The scenario's rates after edits by model, and what could not be taken.

    A cleared cell takes the scenario's rate back; a model whose last rate went is no longer named.
    """
    found = {rate.model: rate for rate in stated}
    refused = []
    for model, edit in edits.items():
        amounts: dict[RateKind, Decimal] = dict(found[model].usd_per_mtok) if model in found else {}
        for column, kind in RATE_COLUMNS.items():
            if column not in edit:
                continue
            amounts.pop(kind, None)
            if edit[column] is None:
                continue
            try:
                amount = Decimal(str(edit[column]))
            except InvalidOperation:
                amount = Decimal("NaN")
            if not (amount.is_finite() and amount >= 0):
                refused.append(f"{model}: {edit[column]!r} is no price; give USD per million tokens, 0 or more")
                continue
            amounts[kind] = amount
        found.pop(model, None)
        if amounts:
            found[model] = StatedRate(model=model, usd_per_mtok=amounts, source=YOURS, as_of=today)
    return tuple(found[model] for model in sorted(found)), refused


def edited_machine(machine: Machine, edit: Cells, today: date) -> Machine:
    """A machine after an edit of how many replicas it carries. Raises `ValueError` for numbers that cannot be."""
    old = machine.replicas_per_machine
    before = {"low": old.low, "mid": old.mid, "high": old.high}
    cells = {name: edit[f"replicas, {name}"] for name in before if f"replicas, {name}" in edit}
    return replace(machine, replicas_per_machine=edited_figure(before, cells, today)) if cells else machine
