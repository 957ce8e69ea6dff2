"""What stands around every page: the plan it shows, the inputs at the left, and what to see while a plan is made."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from planner.decision.plan import Plan
from planner.errors import BreakevenError
from planner.pages.inputs import draw_inputs
from planner.pages.link import files_named
from planner.pages.show import escape
from planner.pages.state import Session, change, go_back, note_plan, session
from planner.pages.uploads import MAX_LOG_MB, read_uploaded_log, read_uploaded_profile, shown
from planner.pages.work import Job, job_for, plan_key, shelf_of
from planner.scenario.load import UPLOAD

_AT_ONCE_S = 1.5
"""A plan that is made within this time appears without a progress bar."""

_POLL_S = 0.4


def open_plan(*, with_headline: bool = False) -> Plan:
    """The plan of the open scenario, with the inputs at the left. Stops the page where there is none (yet).

    `with_headline` draws the answer at the top, as soon as it is known and before the rest is.
    """
    now = session()
    if now.error:
        st.error(escape(now.error))
        now.error = None
    _ask_for_uploads(now)
    top = st.empty() if with_headline else None
    plan = _made(now, top)
    if top is not None:
        top.header(escape(plan.verdict.headline))
    draw_inputs(plan)
    return plan


def _made(now: Session, top: DeltaGenerator | None) -> Plan:
    key = plan_key(now.scenario, now.directory)
    found: Plan | None = shelf_of(now.scenario, now.shelf).plans.get(key)
    if found is not None:
        note_plan(found)
        return found
    if now.job is None or now.job.key != key:
        if now.job is not None:
            now.job.cancel()
        now.job = job_for(now.scenario, now.directory, now.supplied, now.shelf)
    job = now.job
    if top is not None and job.answered.wait(_AT_ONCE_S) and job.headline:
        top.header(escape(job.headline))
    if not job.finished.wait(_AT_ONCE_S):
        _progress(job)
        st.stop()
    if job.plan is None:
        _failed(job)
    assert job.plan is not None
    note_plan(job.plan)
    return job.plan


@st.fragment(run_every=_POLL_S)
def _progress(job: Job) -> None:
    if job.finished.is_set():
        st.rerun()
    state = job.progress
    st.progress(state.done_frac, text=f"{state.step} ...")
    st.button("Cancel and go back", on_click=go_back, key="cancel_plan", icon=":material/undo:")


def _failed(job: Job) -> None:
    now = session()
    now.job = None
    said = str(job.error) if isinstance(job.error, BreakevenError | ValueError) else _unexpected(job.error)
    st.error(escape(said))
    if now.last_good is not None and now.last_good != now.scenario:
        st.button("Undo the last change", on_click=go_back, key="undo_failed", icon=":material/undo:")
    st.stop()


def _unexpected(error: BaseException | None) -> str:
    return f"The plan could not be made ({type(error).__name__}); `breakeven plan` on the scenario file says more."


def _ask_for_uploads(now: Session) -> None:
    """A link cannot carry a file: ask for those that its scenario rests on, and take no others."""
    held = {*now.logs, *now.profiles}
    missing = sorted(name for name in files_named(now.scenario) if name.startswith(UPLOAD) and name not in held)
    if not missing:
        return
    st.header("This scenario rests on a file that is not here")
    st.write(
        "A link holds no file, and nobody else can see what you upload. Give the same file to see the same answer."
    )
    for name in missing:
        given = st.file_uploader(f"{shown(name)}", key=f"wanted_{name}", max_upload_size=MAX_LOG_MB)
        if given is None:
            continue
        try:
            if name == now.scenario.workload.log:
                called, log = read_uploaded_log(given.name, given.getvalue())
                if _same(called, name):
                    now.add_log(name, log)
                    st.rerun()
            else:
                called, profile = read_uploaded_profile(given.name, given.getvalue())
                if _same(called, name):
                    now.add_profile(name, profile, given.getvalue())
                    st.rerun()
            st.error(f"That is another file than the {shown(name)} of this scenario: its content differs.")
        except BreakevenError as error:
            st.error(escape(str(error)))
    st.button("Open the scenario of this server instead", on_click=change, args=(now.base,), key="open_base")
    st.stop()


def _same(called: str, wanted: str) -> bool:
    return called.split(":")[1] == wanted.split(":")[1]
