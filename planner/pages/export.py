"""Page: the files of the plan, the same bytes as `breakeven plan` writes, and the link to what is open."""

import io
import zipfile

import streamlit as st

from planner.decision.plan import Plan
from planner.export.directory import plan_files
from planner.export.report_pdf import chromium, print_pdf
from planner.pages.frame import open_plan
from planner.pages.show import escape
from planner.pages.state import session
from planner.pages.work import make_with_frontier
from planner.scenario.toml_file import FILE_NAME, dump_scenario

WHAT = {
    FILE_NAME: "The question: edit it and plan again",
    "verdict.json": "Every headline number, unrounded, and the words made from them",
    "report.pdf": "The same page as PDF",
    "report.html": "One self-contained page to print, mail and read without a network",
    "costs.csv": "One row per month, option and cost line",
    "costs_excel.csv": "The same rows for Excel, where a number is written 1.5",
    "costs_excel_semicolon.csv": "The same rows for Excel, where a number is written 1,5",
    "focus.csv": "The same in the shape of FOCUS, for tools of finance",
    "hourly.csv": "Load and replicas of every hour of the week",
    "latency.csv": "What requests take under every option, and cost against latency under other limits",
    "assumptions.csv": "Every assumption with range, source and date",
    "plan.xlsx": "A workbook with live formulas",
    "prices.lock.json": "The rates that the plan used",
    "manifest.json": "Hashes of all inputs and outputs, versions",
}
TYPES = {
    "json": "application/json",
    "html": "text/html",
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
}

plan = open_plan()
now = session()


def files_of(made: Plan, with_pdf: bool) -> dict[str, bytes]:
    """The files of the plan, made once and kept as long as this plan is open."""
    kept = st.session_state.get("files")
    if kept is None or kept[0] is not made or kept[2] != with_pdf:
        with st.spinner("Trying other limits and writing the files ..."):
            complete = make_with_frontier(now.scenario, now.directory, now.supplied, now.shelf, _say_nothing)
            printer = (lambda report: print_pdf(report)[0]) if with_pdf else None
            kept = st.session_state["files"] = (made, plan_files(complete, printer), with_pdf)
    found: dict[str, bytes] = kept[1]
    return found


def _say_nothing(step: str, done_frac: float) -> None:
    """The spinner says enough."""


def archive(files: dict[str, bytes]) -> bytes:
    """All files in one archive whose bytes depend on nothing but theirs."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files.items():
            target.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


st.header("Export")
st.caption("The same bytes as `breakeven plan scenario.toml --out plan` writes.")
with_pdf = chromium() is not None and st.checkbox(
    "With the report as PDF", key="with_pdf", help="Printed by the Chromium of this machine in a few seconds."
)
files = {FILE_NAME: dump_scenario(plan.scenario).encode(), **files_of(plan, with_pdf)}
st.download_button(
    "Download everything (zip)",
    data=lambda: archive(files),
    file_name="plan.zip",
    mime="application/zip",
    on_click="ignore",
    key="download_all",
    type="primary",
    icon=":material/folder_zip:",
)
for name, content in files.items():
    about, button = st.columns([2, 1], vertical_alignment="center")
    about.markdown(f"**{name}**  \n{WHAT[name]} ({len(content):,} bytes)")
    button.download_button(
        name,
        data=content,
        file_name=name,
        mime=TYPES.get(name.rpartition(".")[2], "text/plain"),
        on_click="ignore",
        key=f"download_{name}",
        icon=":material/download:",
        width="stretch",
    )
st.subheader("Link")
query = now.query
if query is None:
    st.info("Too much was changed for a link: send scenario.toml instead.")
else:
    st.write(
        "The address of this page is a link to what you see, for everybody who can reach this server. It holds the "
        "inputs that you changed and no file, price list or key."
    )
    if len(query) > 1:
        st.code("\n".join(f"{key} = {value}" for key, value in query.items() if key != "base"), language=None)
    if now.logs or now.profiles:
        st.caption(escape("Whoever opens it is asked for the files that you uploaded; they never leave your session."))
    if not now.is_kept_in_link:
        st.caption("The scenarios kept on Compare are too many changes for a link: download each as a file.")
