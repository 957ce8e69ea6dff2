"""Page: how many replicas each hour needs, who is served in time, what a number of replicas carries."""

import streamlit as st

from planner.charts.attainment import attainment_by_hour, attainment_heat_map, staircase
from planner.charts.plan import load_by_hour
from planner.cost.options import OptionKind
from planner.decision.wording import describe, percent
from planner.pages.frame import open_plan
from planner.pages.show import chart, escape, table

plan = open_plan()

st.header("Capacity")
hosted = [option for option in plan.options if option.week]
for excluded in plan.excluded:
    if excluded.kind in (OptionKind.RENT, OptionKind.OWN):
        st.warning(escape(f"{excluded.id} is out: {excluded.reason}."), icon=":material/block:")
if not hosted:
    st.info(
        "No machine holds the service level, or none is a candidate: relax the TTFT limit at the left, measure faster "
        "hardware on the Measurements page, or name machines on the Prices page."
    )
    st.stop()
chosen = st.selectbox(
    "Fleet of",
    hosted,
    format_func=lambda option: option.id,
    key="fleet_of",
    help="Machines that are rented or owned, or that an API model helps out. The hours are those of the first month.",
)
assert chosen is not None
assert chosen.week is not None
week, fleet = chosen.week, chosen.fleet
machines, replicas, busy, outside = st.columns(4)
if fleet is not None:
    machines.metric("Machines at the peak", f"{fleet.peak_machines:,}", help="Whole machines, spare replicas included.")
    outside.metric(
        "Outside what was measured",
        percent(fleet.curve.requests_outside_hull_frac),
        help="Prompts, outputs or ratios that no measured level had: their speed is extrapolated.",
    )
elif chosen.hybrid is not None:
    machines.metric(
        "Machines all the time", f"{chosen.hybrid.machines:,}", help="Without spare ones: the API helps out."
    )
replicas.metric(
    "Replicas at the peak", f"{week.peak_replicas:,}", help="Copies of the measured engine, spare included."
)
busy.metric("Utilisation", percent(week.utilisation_frac), help="Busy over paid replica-time, whole week.")
if fleet is not None and fleet.beyond_simulated:
    st.warning("The peak asks for more replicas than were simulated; the last simulated rate per replica is assumed.")
chart(
    load_by_hour(week),
    "load_by_hour",
    "Requests per second, needed and paid replicas of every hour of the week.",
)
odds = next((risk for risk in plan.risk.options if risk.id == chosen.id), None)
if odds is not None and odds.slo_held_frac is not None:
    st.write(
        escape(
            f"In {percent(odds.slo_held_frac)} of the draws this fleet, spare replicas included, holds the service "
            "level in the first month's peak hour."
        )
    )

st.subheader("Who is served in time?")
asked = plan.scenario.slo.attainment_frac
if week.shares is None:
    st.info(
        "Nothing to show: the week has no requests, or its loads were not simulated. Give the scenario some requests "
        "per day at the left."
    )
else:
    st.caption(
        escape(
            f"Share of the requests within every limit of the service level ({percent(asked)} are asked for), on the "
            "log's bursts at each hour's rate with the replicas that serve in it. What leaves for the API is taken to "
            "be in time."
        )
    )
    own, left, missed = st.columns(3)
    own.metric("Own machines, in time", percent(week.shares.attained_frac), help="Mean of the week by requests.")
    left.metric("Left for the API", percent(week.shares.overflow_frac), help="Request by request; none without an API.")
    missed.metric("Missed", percent(week.shares.missed_frac), help="Served too late here, or not at all.")
    chart(
        attainment_by_hour(week, asked),
        "attainment_by_hour",
        "Share of every hour's requests served in time by own machines, left for the API, and missed.",
    )
    chart(
        attainment_heat_map(week, asked),
        "attainment_heat_map",
        "Share of the requests in time by day and hour of the day; blank where there are none.",
    )

if fleet is not None:
    st.subheader("What a number of replicas carries")
    st.caption("The highest rate that holds the service level, found by simulation; a week needs whole replicas.")
    chart(
        staircase(fleet.curve, week),
        "staircase",
        "Highest request rate that holds the service level, by number of replicas, and the week's fullest hour.",
    )
    with st.expander("As a table"):
        table(
            [
                {"replicas": count, "requests/s within the service level": rate}
                for count, rate in zip(fleet.curve.replicas, fleet.curve.max_requests_per_s, strict=True)
            ],
            says="Highest request rate that holds the service level, by number of replicas.",
            decimals={"requests/s within the service level": "%.4g"},
        )
mixes = [option for option in plan.options if option.hybrid or option.staged or option.mix]
if mixes:
    st.subheader("Overflow to an API, and mixes")
    for option in mixes:
        st.write(escape(f"{option.kind}: {describe(option)}."))
