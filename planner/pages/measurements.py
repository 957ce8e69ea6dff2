"""Page: what was measured, on which machines, how well the fitted model agrees, and which profile the plan rests on."""

from dataclasses import replace

import streamlit as st

from planner.charts.plan import ttft_against_prompt_length
from planner.charts.profile import memory_stack, throughput_with_fit, tpot_with_fit, ttft_with_fit
from planner.decision.wording import percent
from planner.errors import BreakevenError
from planner.pages.frame import open_plan
from planner.pages.imports import read_uploaded_measurement
from planner.pages.show import chart, escape, table
from planner.pages.state import change, session
from planner.pages.uploads import MAX_RUN_MB, shown
from planner.pages.work import SHARED
from planner.profile import Profile
from planner.scenario.load import REFERENCE
from planner.steptime.reference import reference_profile

NEVER_FITTED = "Mean relative error on load points that were never used for the fit."

plan = open_plan()
now = session()


def reference(name: str) -> Profile:
    kept: Profile | None = SHARED.profiles.get(name)
    return kept or SHARED.profiles.put(name, reference_profile(name.removeprefix(REFERENCE)))


def use(name: str) -> None:
    """Plan with a profile instead of the scenario's; machines that name their own keep it."""
    change(replace(session().scenario, profile=name))


def error_of(frac: float | None) -> str:
    return "-" if frac is None else percent(frac)


st.header("Measurements")
with st.expander("Add a measurement", icon=":material/upload_file:", expanded=not plan.profiles):
    given = st.file_uploader(
        "A packed run, a profile.json or another tool's result",
        key="measurement_upload",
        max_upload_size=MAX_RUN_MB,
        help="From a GPU host: `breakeven measure --pack` writes one file to carry here. It stays in this session.",
    )
    if given is not None and st.session_state.get("measurement_taken") != given.file_id:
        st.session_state["measurement_taken"] = given.file_id
        try:
            with st.spinner("Reading the measurement ..."):
                called, added, content = read_uploaded_measurement(given.name, given.getvalue())
        except BreakevenError as error:
            st.error(escape(str(error)))
        else:
            now.add_profile(called, added, content)
            st.session_state["shown_profiles"] = [called]
            st.rerun()
    wanted = st.text_input(
        "Or a reference profile that somebody else measured",
        key="reference_name",
        max_chars=200,
        placeholder="for example: h100 llama 70b vllm",
        help="Words of its name: accelerator, model, engine. Press Enter to search.",
    )
    if wanted:
        from planner.steptime.reference import list_references

        words = wanted.lower().split()
        found = [r for r in list_references() if r.not_plannable is None and all(w in r.name.lower() for w in words)]
        if not found:
            st.info("No reference profile has all these words in its name; try fewer.")
        for one in found[:8]:
            about, button = st.columns([3, 1], vertical_alignment="center")
            about.markdown(
                escape(f"{one.name}: {one.points} points, error on points left out TPOT ")
                + error_of(one.held_out_tpot_error_frac)
                + ", TTFT "
                + error_of(one.held_out_ttft_error_frac)
            )
            button.button("Plan with it", key=f"use_{one.name}", on_click=use, args=(f"{REFERENCE}{one.name}",))

profiles: dict[str, Profile] = {**plan.profiles, **now.profiles}
if not profiles:
    st.info("This plan has no measured profile. Add one above, or measure a model with `breakeven measure`.")
    st.stop()
names = list(profiles)
if not set(st.session_state.get("shown_profiles", [])) <= set(names):
    st.session_state["shown_profiles"] = names[:1]
chosen = st.multiselect(
    "Profiles to show side by side",
    names,
    default=None if "shown_profiles" in st.session_state else names[:1],
    key="shown_profiles",
    format_func=shown,
    help="Those of the plan, and those that you added.",
)
if not chosen:
    st.info("Choose one or more profiles to see them.")
    st.stop()
together = {shown(name): profiles[name] for name in chosen}
for name in chosen:
    profile = profiles[name]
    source, fit = profile.provenance, profile.fit
    st.markdown(
        f"**{escape(shown(name))}** — "
        + escape(
            f"{source.model} on {source.engine} {source.engine_version}, {profile.host.cpu_model} with "
            f"{profile.host.cpu_cores} cores{''.join(', ' + card for card in profile.host.accelerators)}, "
            f"{source.source} {source.measured_at}"
        )
    )
    if source.is_synthetic:
        st.warning("Random weights: speed and memory are real, the text is noise and quality cannot be judged.")
    load, peak, power, tpot, ttft = st.columns(5)
    load.metric("Load time [s]", "-" if profile.load_time_s is None else f"{profile.load_time_s:.1f}")
    peak.metric("Peak memory [GiB]", "-" if profile.memory.peak_gib is None else f"{profile.memory.peak_gib:.2f}")
    watts = profile.power
    power.metric("Power [W]", f"{watts.idle_w:.0f} to {watts.loaded_w:.0f}" if watts else "-",
                 help=f"Mean of the {watts.scope}, idle to loaded." if watts else "No sensor answered.")  # fmt: skip
    tpot.metric("TPOT error", error_of(fit.held_out_tpot_error_frac), help=NEVER_FITTED)
    ttft.metric("TTFT error", error_of(fit.held_out_ttft_error_frac), help=NEVER_FITTED)
    for field, reason in profile.missing.items():
        st.caption(escape(f"Not measured: {field}, because {reason}"))
    if name in now.profile_files:
        st.download_button("Download profile.json", data=now.profile_files[name], file_name=shown(name),
                           mime="application/json", on_click="ignore", key=f"download_{name}",
                           help="Keep it beside the scenario file to plan with it on the command line.")  # fmt: skip
    is_planned = name in plan.profiles
    st.button(
        "The plan rests on it" if is_planned else "Plan with this profile",
        key=f"plan_with_{name}",
        on_click=use,
        args=(name,),
        disabled=is_planned,
        type="secondary" if is_planned else "primary",
    )

chart(
    throughput_with_fit(together),
    "throughput",
    "Output tokens per second over requests in flight, measured and fitted.",
)
left, right = st.columns(2)
with left:
    chart(tpot_with_fit(together), "tpot", "Mean time per output token over requests in flight, measured and fitted.")
with right:
    chart(ttft_with_fit(together), "ttft", "Mean time to first token over requests in flight, measured and fitted.")
st.caption("Points are measured, open ones invalid; the line is the fitted model, the band its 90 % interval.")
left, right = st.columns(2)
with left:
    lone = [level for profile in together.values() for level in profile.levels]
    chart(ttft_against_prompt_length(lone), "prompt_length", "Time to first token of a lone request over its length.")
with right:
    chart(memory_stack(together), "memory", "Memory of each profile: weights, KV cache, rest of the peak.")
st.subheader("Levels")
table(
    [
        {
            "profile": shown(name),
            "shape": level.shape,
            "input tokens": level.input_tokens.mean if level.input_tokens else None,
            "target": level.target,
            "valid": level.valid,
            "in flight": level.achieved_concurrency,
            "requests/s": level.requests_per_s,
            "output tokens/s": level.output_tokens_per_s,
            "TTFT p50 [s]": level.ttft_s.p50 if level.ttft_s else None,
            "TTFT p95 [s]": level.ttft_s.p95 if level.ttft_s else None,
            "TPOT p50 [s]": level.tpot_s.p50 if level.tpot_s else None,
            "requests": level.e2e_s.count if level.e2e_s else 0,
            "failures": sum(level.failures.values()),
            "why invalid": "; ".join(level.invalid_reasons),
        }
        for name in chosen
        for level in profiles[name].levels
    ],
    says="Every measured level with its load, throughput, latencies and validity.",
    decimals=dict.fromkeys(
        ("in flight", "requests/s", "output tokens/s", "TTFT p50 [s]", "TTFT p95 [s]", "TPOT p50 [s]"), "%.4g"
    ),
)
