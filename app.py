"""The dashboard's door: `breakeven app` or `streamlit run app.py`. Its pages are the files of `planner/pages`."""

import streamlit as st

from planner.pages.gate import require_login
from planner.pages.state import follow_address

st.set_page_config(page_title="breakeven", page_icon="⚖", layout="wide")


def _page(name: str, title: str, icon: str) -> st.Page:
    return st.Page(
        f"planner/pages/{name}.py", title=title, icon=f":material/{icon}:", url_path=name, default=name == "verdict"
    )


chosen = st.navigation(
    {
        "The answer": [
            _page("verdict", "Verdict", "gavel"),
            _page("compare", "Compare", "compare_arrows"),
            _page("risk", "Risk", "casino"),
        ],
        "What goes in": [
            _page("workload", "Workload", "stacked_bar_chart"),
            _page("measurements", "Measurements", "speed"),
            _page("measure", "Measure here", "play_circle"),
            _page("prices", "Prices", "sell"),
            _page("assumptions", "Assumptions", "tune"),
        ],
        "What comes out": [
            _page("capacity", "Capacity", "dns"),
            _page("backtest", "Back-test", "receipt_long"),
            _page("export", "Export", "download"),
        ],
    }
)
require_login()
follow_address(chosen.url_path)
chosen.run()
