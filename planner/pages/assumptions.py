"""Page: every assumption with low, mid, high and source, to be edited in place."""

from datetime import UTC, datetime
from typing import Any

import streamlit as st

from planner.decision.wording import label
from planner.pages.edits import edited_figure
from planner.pages.frame import open_plan
from planner.pages.show import escape, table
from planner.pages.state import change, session, with_assumption
from planner.scenario.tables import Figure

EDITED = ("low", "mid", "high", "source")
RATIO = "ratio"  # how a table says that a figure has no unit

plan = open_plan()
now = session()
rows = [
    {
        "assumption": label(a.name),
        "low": a.value.low,
        "mid": a.value.mid,
        "high": a.value.high,
        "unit": RATIO if a.unit == "1" else a.unit,
        "source": a.source,
        "as of": a.as_of,
        "placeholder": a.is_placeholder,
        "name in the scenario": a.name,
    }
    for a in plan.assumptions
]


def take(names: list[str], before: list[dict[str, Any]], key: str) -> None:
    """Make the edited rows figures of the scenario; one that cannot be is refused with its reason."""
    figures: dict[str, Figure | None] = {}
    for index, edit in st.session_state[key]["edited_rows"].items():
        try:
            figures[names[index]] = edited_figure(before[index], edit, datetime.now(UTC).date())
        except (ValueError, TypeError) as error:
            session().error = f"{label(names[index])}: {error}; the change was not taken."
    if figures:
        change(with_assumption(session().scenario, **figures))


st.header("Assumptions")
st.caption(
    "Click a cell to change it: low and high are the 10th and 90th percentile. A placeholder has no good primary "
    "source: put your own figure."
)
key = f"assumptions_{hash(tuple((row['name in the scenario'], row['low'], row['mid'], row['high']) for row in rows))}"
st.data_editor(
    rows,
    key=key,
    hide_index=True,
    height="content",
    disabled=[name for name in rows[0] if name not in EDITED],
    on_change=take,
    args=([row["name in the scenario"] for row in rows], rows, key),
    column_config={
        **{name: st.column_config.NumberColumn(format="%.6g", required=True) for name in ("low", "mid", "high")},
        "assumption": st.column_config.Column(pinned=True),
        "unit": st.column_config.TextColumn(width=150),
        "source": st.column_config.TextColumn(max_chars=200, width=260),
    },
    alt="Every assumption with low, mid, high, unit, source and date.",
)
own = sorted(set(now.scenario.assumptions) - set(now.base.assumptions) | {
    name for name, value in now.scenario.assumptions.items() if now.base.assumptions.get(name) != value
})  # fmt: skip
if own:
    st.write(escape("Changed in this session: " + ", ".join(label(name) for name in own) + "."))
    back = {name: now.base.assumptions.get(name) for name in own}
    st.button(
        "Take all of them back",
        key="reset_assumptions",
        on_click=lambda: change(with_assumption(session().scenario, **back)),
        icon=":material/undo:",
    )
st.subheader("Files this plan rests on")
table(
    [{"role": f.role, "path": f.path, "sha256": f.sha256} for f in plan.files],
    says="Role, path and hash of every file that the plan rests on.",
)
