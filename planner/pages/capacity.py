"""Page: how many replicas each hour needs, what one carries, and where the service level cannot be held."""

import streamlit as st

from planner.charts.plan import load_by_hour
from planner.cost.options import OptionKind
from planner.decision.wording import percent
from planner.pages.frame import open_plan
from planner.pages.show import chart, escape, table

plan = open_plan()

st.header("Capacity")
hosted = [option for option in plan.options if option.fleet]
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
    "Fleet of", hosted, format_func=lambda option: option.id, key="fleet_of", help="Machines that are rented or owned."
)
assert chosen is not None
assert chosen.fleet is not None
fleet = chosen.fleet
machines, replicas, busy, outside = st.columns(4)
machines.metric("Machines at the peak", f"{fleet.peak_machines:,}")
replicas.metric("Replicas at the peak", f"{fleet.week.peak_replicas:,}")
busy.metric("Utilisation", percent(fleet.week.utilisation_frac))
outside.metric("Requests outside what was measured", percent(fleet.curve.requests_outside_hull_frac))
if fleet.beyond_simulated:
    st.warning("The peak asks for more replicas than were simulated; the last simulated rate per replica is assumed.")
chart(
    load_by_hour(fleet.week),
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
st.subheader("What a number of replicas carries")
table(
    [
        {"replicas": count, "requests/s within the service level": rate}
        for count, rate in zip(fleet.curve.replicas, fleet.curve.max_requests_per_s, strict=True)
    ],
    says="Highest request rate that holds the service level, by number of replicas.",
    decimals={"requests/s within the service level": "%.4g"},
)
mixes = [option for option in plan.options if option.hybrid or option.staged]
if mixes:
    st.subheader("Overflow to an API")
    for option in mixes:
        if option.hybrid:
            st.write(
                escape(
                    f"{option.hybrid.machines} of {option.hybrid.host} all the time; "
                    f"{percent(option.hybrid.overflow_frac)} of the requests overflow to {option.hybrid.api}."
                )
            )
        elif option.staged:
            st.write(
                escape(
                    f"{option.staged.api} for {option.staged.api_months} months, then {option.staged.machines} of "
                    f"{option.staged.host}."
                )
            )
