"""Page: what was measured, on which machine, and how well the fitted model agrees with it."""

import streamlit as st

from planner.charts import latency_against_concurrency, throughput_against_concurrency, ttft_against_prompt_length
from planner.dashboard import escape, open_plan

plan = open_plan()

st.header("Measurements")
if not plan.profiles:
    st.info("This plan has no measured profile. Measure a model with `breakeven measure` and name it in the scenario.")
    st.stop()
key = st.selectbox("Profile", list(plan.profiles))
profile = plan.profiles[key]
source, fit = profile.provenance, profile.fit
st.markdown(
    escape(
        f"{source.model} on {source.engine} {source.engine_version}, {profile.host.cpu_model} with "
        f"{profile.host.cpu_cores} cores, measured {source.measured_at}"
    )
)
if source.is_synthetic:
    st.warning("Random weights: speed and memory are real, the text is noise and quality cannot be judged.")
load, memory, error = st.columns(3)
load.metric("Load time [s]", "-" if profile.load_time_s is None else f"{profile.load_time_s:.1f}")
memory.metric("Peak memory [GiB]", "-" if profile.memory.peak_gib is None else f"{profile.memory.peak_gib:.2f}")
error.metric(
    "Error of mean TPOT on points left out",
    "-" if fit.held_out_tpot_error_frac is None else f"{fit.held_out_tpot_error_frac:.0%}",
)
st.plotly_chart(throughput_against_concurrency(profile.levels), key="throughput")
st.plotly_chart(latency_against_concurrency(profile.levels), key="latency")
st.plotly_chart(ttft_against_prompt_length(profile.levels), key="prompt_length")
st.dataframe(
    [
        {
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
        for level in profile.levels
    ],
    hide_index=True,
    height="content",
    column_config={
        name: st.column_config.NumberColumn(format="%.4g")
        for name in (
            "in flight",
            "requests/s",
            "output tokens/s",
            "TTFT p50 [s]",
            "TTFT p95 [s]",
            "TPOT p50 [s]",
        )
    },
)
for name, reason in profile.missing.items():
    st.caption(escape(f"Not measured: {name}, because {reason}"))
