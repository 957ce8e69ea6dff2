"""The dashboard's door: `breakeven app` or `streamlit run app.py`. Its pages stand beside the code they show."""

import streamlit as st

st.set_page_config(page_title="breakeven", page_icon="⚖", layout="wide")
st.navigation(
    [
        st.Page("planner/page_verdict.py", title="Verdict", default=True),
        st.Page("planner/page_options.py", title="Options", url_path="options"),
        st.Page("planner/page_workload.py", title="Workload", url_path="workload"),
        st.Page("planner/page_measurements.py", title="Measurements", url_path="measurements"),
        st.Page("planner/page_assumptions.py", title="Assumptions", url_path="assumptions"),
    ]
).run()
