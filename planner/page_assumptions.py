"""Page: every assumption with its span, source and date."""

import streamlit as st

from planner.dashboard import open_plan
from planner.wording import label

plan = open_plan()

st.header("Assumptions")
st.caption(
    "low and high are the 10th and 90th percentile. A placeholder has no good primary source: put your own figure."
)
st.dataframe(
    [
        {
            "assumption": label(a.name),
            "low": a.value.low,
            "mid": a.value.mid,
            "high": a.value.high,
            "unit": a.unit,
            "placeholder": a.is_placeholder,
            "source": a.source,
            "as of": a.as_of,
            "name in the scenario": a.name,
        }
        for a in plan.assumptions
    ],
    hide_index=True,
    height="content",
    column_config={name: st.column_config.NumberColumn(format="%.6g") for name in ("low", "mid", "high")},
)
st.subheader("Files this plan rests on")
st.dataframe([{"role": f.role, "path": f.path, "sha256": f.sha256} for f in plan.files], hide_index=True)
