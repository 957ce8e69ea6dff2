"""Cost against latency on the comparison: simulated in the background, shown as soon as it is there."""

import streamlit as st

from planner.charts.latency import cost_against_tpot, cost_against_ttft
from planner.decision.frontier import points_of
from planner.decision.plan import Plan
from planner.errors import BreakevenError
from planner.pages.show import chart, escape
from planner.pages.state import session
from planner.pages.work import Job, plan_key, shelf_of

_POLL_S = 0.4


def draw_latency(plan: Plan) -> None:
    """The two charts of cost against latency, or why there is none."""
    with_frontier = _frontier_of(plan)
    shown = points_of(with_frontier or plan)
    drawn = False
    for metric, figure, known in (
        ("TTFT", cost_against_ttft, any(point.latency.ttft_s for point in shown)),
        ("TPOT", cost_against_tpot, any(point.latency.tpot_s for point in shown)),
    ):
        if known:
            drawn = True
            says = f"Levelised cost per month over the 95th percentile of {metric} of every option and limit."
            chart(figure(with_frontier or plan), f"cost_against_{metric.lower()}", says)
        elif drawn:
            st.info(f"No option's {metric} is known.")
    if drawn:
        st.caption(
            "Large marks are the plan, small ones its machines with every limit of the service level times 0.25 to 4. "
            "Filled: nothing else is cheaper and as fast. Simulated from the hours of the first month's week; batch "
            "work that waits for a quiet hour is not counted as waiting."
        )
    else:
        st.info("No option's latency is known, so there is nothing to draw; why stands below.")
    unknown: dict[str, list[str]] = {}
    for option in plan.options:
        if option.latency.missing:
            unknown.setdefault(option.latency.missing, []).append(option.id)
    if unknown:
        with st.expander("What is not known, and why", expanded=not drawn):
            for missing, ids in unknown.items():
                said = escape(f"{', '.join(ids)}: {missing}.")
                st.markdown(f"- {said}")


def _frontier_of(plan: Plan) -> Plan | None:
    """The plan with its frontier; begins to make it and gives `None` where it is not there yet."""
    now = session()
    key = plan_key(now.scenario, now.directory)
    found: Plan | None = shelf_of(now.scenario, now.shelf).frontiers.get(key)
    if found is not None or not plan.profiles:
        now.frontier_job = None
        return found
    job = now.frontier_job
    if job is None or job.key != key:
        if job is not None:
            job.cancel()
        job = now.frontier_job = Job(now.scenario, now.directory, now.supplied, now.shelf, latency_frontier=True)
    if not job.finished.is_set():
        _progress(job)
        return None
    if job.plan is None:
        said = str(job.error) if isinstance(job.error, BreakevenError | ValueError) else type(job.error).__name__
        st.warning(escape(f"Tighter and looser limits could not be tried: {said}."))
    return job.plan


@st.fragment(run_every=_POLL_S)
def _progress(job: Job) -> None:
    if job.finished.is_set():
        st.rerun()
    st.progress(job.progress.done_frac, text=f"{job.progress.step} ...")
