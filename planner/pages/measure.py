"""Page: start a measurement on the machine of this server and watch it."""

import os
from datetime import UTC, datetime
from pathlib import Path

import streamlit as st

from planner.errors import BreakevenError
from planner.pages.gate import is_open_to_others
from planner.pages.live import LiveRun
from planner.pages.show import escape
from planner.pages.state import session
from planner.pages.uploads import upload_name
from planner.profile import load_profile

RUNS = Path("runs")
KEY_VARIABLE = "OPENAI_API_KEY"
POLL_S = 1.0
SHOWN_LINES = 14
INTERRUPTED = 130
MODELS = ("Tiny-1M", "SmolLM2-135M", "Qwen2.5-0.5B", "Llama-3.2-1B")

now = session()


def start() -> None:
    """Start the command line with what the form says; one measurement at a time, for a second one would disturb it."""
    kind, given = st.session_state["measure_kind"], st.session_state
    arguments = ["--concurrency", str(given["measure_concurrency"]), "--duration", str(given["measure_duration"])]
    if kind == "A synthetic model":
        arguments += ["--synthetic", str(given["measure_model"])]
    elif not str(given["measure_endpoint"]).startswith(("http://", "https://")):
        now.error = "Give the address of the server, such as http://127.0.0.1:8000."
        return
    else:
        arguments += ["--endpoint", str(given["measure_endpoint"])]
    running = st.session_state.get("live")
    if running is None or running.exit_code is not None:
        directory = RUNS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
        now.error = None
        st.session_state["live"] = LiveRun([*arguments, "--out", str(directory)], directory)


def go_on() -> None:
    """Take up the run that ended early; its finished levels are not measured again."""
    ended = st.session_state["live"].directory
    st.session_state.pop("live_shown", None)
    st.session_state["live"] = LiveRun(["--resume", str(ended)], ended)


def cancel() -> None:
    st.session_state["live"].cancel()


def forget() -> None:
    st.session_state.pop("live", None)


def plan_with() -> None:
    """Take the finished profile into this session; the Measurements page shows it."""
    run = st.session_state["live"]
    try:
        profile = load_profile(run.profile_file)
    except BreakevenError as error:
        now.error = str(error)
        return
    content = run.profile_file.read_bytes()
    called = upload_name(f"{run.directory.name}.json", content)
    now.add_profile(called, profile, content)
    st.session_state["shown_profiles"] = [called]
    st.session_state["measured"] = called


@st.fragment(run_every=POLL_S)
def watch(run: LiveRun) -> None:
    """What the run has written so far; the page is free while it goes on."""
    ended = run.exit_code is not None
    levels, requests = st.columns(2)
    levels.metric("Levels finished", run.levels)
    requests.metric("Requests recorded", f"{run.requests:,}")
    if run.said:
        st.code("\n".join(list(run.said)[-SHOWN_LINES:]), language=None)
    if not ended:
        st.button("Cancel", on_click=cancel, key="cancel_measurement", icon=":material/stop_circle:")
        return
    if st.session_state.get("live_shown") != str(run.directory):
        st.session_state["live_shown"] = str(run.directory)
        st.rerun()


st.header("Measure here")
if now.error:
    st.error(escape(now.error))
    now.error = None
if is_open_to_others():
    st.info(
        "Other machines reach this dashboard, so nothing is started from it. Run `breakeven measure --pack` on the "
        "host that you want to measure, and upload the file on the Measurements page."
    )
    st.stop()
st.caption(
    "Runs `breakeven measure` on the machine of this server. It wants an otherwise idle machine: what else runs on it "
    "slows the engine down and is measured with it."
)
live: LiveRun | None = st.session_state.get("live")
if live is None:
    with st.form("measure", border=True):
        st.radio(
            "What to measure",
            ("A synthetic model", "A server that is running"),
            key="measure_kind",
            horizontal=True,
            help="A synthetic model has random weights in a real shape: its speed is real, its text is noise.",
        )
        st.selectbox("Model, for a synthetic one", MODELS, key="measure_model", help="The shape of a published model.")
        st.text_input(
            "Address, for a server that is running",
            key="measure_endpoint",
            max_chars=300,
            placeholder="http://127.0.0.1:8000",
            help=f"OpenAI-compatible. A key is read from {KEY_VARIABLE} in the environment here and shown nowhere; "
            + ("it is set." if os.environ.get(KEY_VARIABLE) else "it is not set."),
        )
        st.text_input(
            "Requests in flight",
            value="1,2,4",
            key="measure_concurrency",
            max_chars=60,
            help="One load level each, such as 1,8,64.",
        )
        st.number_input(
            "Seconds per level",
            min_value=1,
            max_value=600,
            value=10,
            key="measure_duration",
            help="Longer levels are surer; 30 s is usual.",
        )
        st.form_submit_button("Start", on_click=start, type="primary", icon=":material/play_arrow:", key="start")
    st.info("Nothing is running. A small synthetic model at three levels takes about two minutes.")
    st.stop()
st.write(f"Run directory: `{live.directory}`")
watch(live)
if live.exit_code == 0:
    st.success("Done. The profile is in the run directory.")
    if st.session_state.get("measured"):
        st.page_link("planner/pages/measurements.py", label="See it on the Measurements page", icon=":material/speed:")
    else:
        st.button("Take the profile into this session", on_click=plan_with, key="take_profile", type="primary")
    st.button("Measure something else", on_click=forget, key="forget_run")
elif live.exit_code is not None and not live.can_go_on:
    st.error(f"Nothing was measured: it ended with exit code {live.exit_code}, and the lines above say why.")
    st.button("Measure something else", on_click=forget, key="forget_run")
elif live.exit_code is not None:
    ended = "Cancelled" if live.exit_code == INTERRUPTED else f"It ended early with exit code {live.exit_code}"
    st.warning(
        f"{ended}. Finished levels ({live.levels}) and recorded requests ({live.requests:,}) are kept in the run "
        f"directory. Go on here or with `breakeven measure --resume {live.directory}`: finished levels are not "
        "measured again."
    )
    st.button("Go on with it", on_click=go_on, key="go_on", type="primary", icon=":material/play_arrow:")
    st.button("Measure something else", on_click=forget, key="forget_run")
