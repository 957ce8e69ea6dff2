"""Page: which options compete, at which prices, from which layer and source, how old, and who says otherwise."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import streamlit as st

from planner.cost.options import OptionKind
from planner.errors import PriceError
from planner.pages.edits import RATE_COLUMNS, YOURS, edited_machine, edited_rates
from planner.pages.frame import open_plan
from planner.pages.show import escape, table
from planner.pages.state import change, session
from planner.scenario.tables import Machine, figure
from pricing.api import api_models
from pricing.check import Age, age_of, check_model
from pricing.hardware import purchase_offers, rental_offers
from pricing.lock import LockedModel
from pricing.second_source import read_second_source
from pricing.types import Provenance, TokenKind

BADGES = {
    Age.GREEN: "fresh, up to 30 days",
    Age.AMBER: "ageing, up to 90 days",
    Age.RED: "old, over 90 days",
    Age.UNKNOWN: "nobody states a date",
}
MOST_MODELS = 20

plan = open_plan()
now = session()
today = datetime.now(UTC).date()


@st.cache_resource(show_spinner=False)
def models_on_offer() -> list[str]:
    return sorted(f"{model.provider}/{model.id}" for model in api_models() if not model.deprecated)


@st.cache_resource(show_spinner=False, max_entries=200)
def second_opinion(model: str, start_month: str) -> tuple[str, str]:
    """What another source says of a model's list price, and why."""
    at = datetime.fromisoformat(f"{start_month}-15T12:00:00+00:00")
    try:
        check = check_model(model, at, read_second_source())
    except PriceError:
        return "not in the library", ""
    said = [
        f"{d.kind}: {d.ours_usd_per_mtok} here, {d.theirs_usd_per_mtok} there" for d in check.differences
    ]  # fmt: skip
    return check.verdict.value, "; ".join([*said, *filter(None, [check.reason]), *check.notes])


def rate_row(model: LockedModel) -> dict[str, Any]:
    """The rates of the first month, for prompts of the lowest context tier."""
    period = model.periods[0]
    tier = period.tiers[0]
    first = period.provenance[0] if period.provenance else None
    verdict, why = second_opinion(model.model, plan.scenario.start_month)
    return {
        "model": model.model,
        **{
            column: float(tier.usd_per_mtok[TokenKind(kind.replace("_", " "))])
            for column, kind in RATE_COLUMNS.items()
            if TokenKind(kind.replace("_", " ")) in tier.usd_per_mtok
        },
        "layer": first.layer if first else "",
        "second source": verdict,
        "age": BADGES[age_of(first.as_of if first else None, today)[0]],
        "source": source_of(first),
        "what differs": why,
        "announced changes": len(model.periods) - 1,
        "page": first.source_url if first else None,
    }


def source_of(why: Provenance | None) -> str:
    return "" if why is None else f"{why.source}{f', as of {why.as_of}' if why.as_of else ''}"


def take_rates(rows: list[dict[str, Any]], key: str) -> None:
    """Edited rates become rates of the scenario, which beat every other layer."""
    edits = {rows[index]["model"]: edit for index, edit in st.session_state[key]["edited_rows"].items()}
    rates, refused = edited_rates(session().scenario.rates, edits, today)
    if refused:
        session().error = "; ".join(refused)
    change(replace(session().scenario, rates=rates))


def take_models() -> None:
    chosen = tuple(st.session_state["api_models"])
    take_candidates(api=chosen)


def take_candidates(**changed: Any) -> None:
    scenario = session().scenario
    wanted = replace(scenario.candidates, **changed) if _any_left(scenario.candidates, changed) else None
    if wanted is None:
        session().error = "Leave at least one candidate; the change was not taken."
        return
    rates = tuple(rate for rate in scenario.rates if rate.model in wanted.api)
    quality = {name: rate for name, rate in scenario.quality.items() if "/" not in name or name in wanted.api}
    change(replace(scenario, candidates=wanted, rates=rates, quality=quality))


def _any_left(candidates: Any, changed: dict[str, Any]) -> bool:
    return any(changed.get(kind, getattr(candidates, kind)) for kind in ("api", "rent", "own"))


def take_machines(kind: str) -> None:
    """Keep the machines that stay as they are; a new one carries one replica until somebody says better."""
    before = {machine.offer: machine for machine in getattr(session().scenario.candidates, kind)}
    chosen = st.session_state[f"{kind}_offers"]
    machines = tuple(
        before.get(offer, Machine(offer=offer, replicas_per_machine=figure(1.0, source=YOURS))) for offer in chosen
    )
    take_candidates(**{kind: machines})


def take_replicas(rows: list[dict[str, Any]], key: str) -> None:
    candidates = session().scenario.candidates
    edits = {rows[index]["machine"]: edit for index, edit in st.session_state[key]["edited_rows"].items()}
    try:
        take_candidates(
            rent=tuple(edited_machine(machine, edits.get(machine.offer, {}), today) for machine in candidates.rent),
            own=tuple(edited_machine(machine, edits.get(machine.offer, {}), today) for machine in candidates.own),
        )
    except (ValueError, TypeError) as error:
        session().error = f"{error}; the change was not taken."


def called(names: dict[str, str], offer: str) -> str:
    return f"{offer}: {names[offer]}" if offer in names else offer


def put(key: str, value: list[str]) -> None:
    if st.session_state.get(key) != value:
        st.session_state[key] = value


st.header("Prices")
candidates = plan.scenario.candidates
with st.expander("What competes", icon=":material/checklist:", expanded=False):
    put("api_models", list(candidates.api))
    st.multiselect(
        "API models",
        sorted({*models_on_offer(), *candidates.api}),
        key="api_models",
        max_selections=MOST_MODELS,
        on_change=take_models,
        help="Type a part of the name; provider/model as the price library knows it.",
    )
    for kind, offers, about in (
        ("rent", rental_offers(), "Machines to rent"),
        ("own", purchase_offers(), "Machines to own"),
    ):
        names = {offer.id: offer.name for offer in offers}
        mine = [machine.offer for machine in getattr(candidates, kind)]
        put(f"{kind}_offers", mine)
        st.multiselect(
            about,
            list(dict.fromkeys([*mine, *names])),
            key=f"{kind}_offers",
            format_func=partial(called, names),
            on_change=take_machines,
            args=(kind,),
            disabled=plan.scenario.profile is None,
            help="Needs a measured profile. Say below how many measured replicas one machine carries.",
        )

if plan.price_lock is not None and plan.price_lock.models:
    st.subheader("API models, USD per million tokens")
    st.caption(
        f"Rates of {plan.scenario.start_month} for short prompts. Change one in place: it becomes a rate of this "
        "scenario, which beats every other layer. Clear a cell to return to the layers below."
    )
    rows = [rate_row(model) for model in plan.price_lock.models]
    key = f"rates_{abs(hash(tuple(tuple(str(value) for value in row.values()) for row in rows)))}"
    st.data_editor(
        rows,
        key=key,
        hide_index=True,
        height="content",
        disabled=[name for name in rows[0] if name not in RATE_COLUMNS],
        on_change=take_rates,
        args=(rows, key),
        column_config={
            **{
                name: st.column_config.NumberColumn(format="%.6g", min_value=0.0, max_value=1e6)
                for name in RATE_COLUMNS
            },
            "model": st.column_config.Column(pinned=True),
            "page": st.column_config.LinkColumn(),
        },
        alt="Rates of every API candidate with layer, source, age and what a second source says.",
    )
    disagree = [row for row in rows if row["second source"] == "sources disagree"]
    for row in disagree:
        st.warning(escape(f"{row['model']}: sources disagree. {row['what differs']}."), icon=":material/balance:")
    for price in plan.prices:
        if price.changes:
            dates = ", ".join(f"{c.from_month}: {c.factor:.2f} times the month before" for c in price.changes)
            st.caption(escape(f"{price.model} changes its price: {dates}."))
    if now.scenario.rates:
        st.button(
            "Take back all rates of this scenario",
            key="reset_rates",
            on_click=lambda: change(replace(session().scenario, rates=session().base.rates)),
            icon=":material/undo:",
        )

machines = [(machine, "rent") for machine in candidates.rent] + [(machine, "own") for machine in candidates.own]
if machines:
    st.subheader("Machines")
    believed = {a.name: a for a in plan.assumptions}
    listed = []
    for machine, kind in machines:
        belief = believed[f"{machine.offer}/{'usd_per_h' if kind == 'rent' else 'price_usd'}"]
        count = machine.replicas_per_machine
        as_of = datetime.fromisoformat(belief.as_of).date() if belief.as_of else None
        listed.append(
            {
                "machine": machine.offer,
                "kind": kind,
                "age": BADGES[age_of(as_of, today)[0]],
                "price, low": belief.value.low,
                "price, mid": belief.value.mid,
                "price, high": belief.value.high,
                "unit": belief.unit,
                "replicas, low": count.low,
                "replicas, mid": count.mid,
                "replicas, high": count.high,
                "placeholder": belief.is_placeholder,
                "source": belief.source,
            }
        )
    st.caption(
        "Replicas: how many copies of what was measured one such machine carries. Prices are changed on the "
        "Assumptions page."
    )
    key = f"machines_{abs(hash(str(listed)))}"
    st.data_editor(
        listed,
        key=key,
        hide_index=True,
        height="content",
        disabled=[name for name in listed[0] if not name.startswith("replicas")],
        on_change=take_replicas,
        args=(listed, key),
        column_config={
            "machine": st.column_config.Column(pinned=True),
            **{
                f"price, {end}": st.column_config.NumberColumn(format="%.6g", width=85)
                for end in ("low", "mid", "high")
            },
            **{
                f"replicas, {end}": st.column_config.NumberColumn(format="%.6g", min_value=1.0, required=True)
                for end in ("low", "mid", "high")
            },
        },
        alt="Every machine with its price, how many replicas it carries, source and age.",
    )
for excluded in (out for out in plan.excluded if out.kind in (OptionKind.API, OptionKind.RENT, OptionKind.OWN)):
    st.warning(escape(f"{excluded.id} is out: {excluded.reason}."), icon=":material/block:")
if plan.prices:
    st.subheader("What the log's mix of requests costs")
    table(
        [
            {
                "model": price.model,
                "USD per 1,000 requests": price.usd_per_1000_requests,
                "priced as": price.matched_model,
                "source": price.source,
                "page": price.source_url,
            }
            for price in plan.prices
        ],
        says="Cost of 1,000 requests of the log on every API model.",
        decimals={"USD per 1,000 requests": "%.4f"},
        links=["page"],
    )
