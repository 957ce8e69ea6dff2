"""A hand-written replica and scenario whose numbers can be worked out on paper."""

import dataclasses
from pathlib import Path

from planner.distribution import Distribution
from planner.profile import (
    EngineLimits,
    Host,
    Hull,
    LevelSummary,
    Memory,
    Profile,
    Provenance,
    Scheduler,
    StepTime,
    StepTimeFit,
    dump_profile,
)

LEVEL = LevelSummary(
    shape="1000x1",
    mode="closed",
    target=1.0,
    valid=True,
    invalid_reasons=(),
    window_s=60.0,
    achieved_concurrency=1.0,
    requests_per_s=1.0,
    input_tokens_per_s=1000.0,
    output_tokens_per_s=1.0,
    input_tokens=Distribution(count=60, mean=1000.0, p50=1000.0, p95=1000.0, p99=1000.0, max=1000.0),
    output_tokens=Distribution(count=60, mean=1.0, p50=1.0, p95=1.0, p99=1.0, max=1.0),
    ttft_s=Distribution(count=60, mean=1.0, p50=1.0, p95=1.0, p99=1.0, max=1.0),
    tpot_s=None,
    itl_s=None,
    e2e_s=Distribution(count=60, mean=1.0, p50=1.0, p95=1.0, p99=1.0, max=1.0),
    failures={},
    client_cpu_frac=0.01,
    client_lag_s=None,
)

ONE_AT_A_TIME = Profile(
    schema_version=1,
    provenance=Provenance(
        source="measured",
        tool_version="0.1.0",
        measured_at="2026-11-20T12:00:00Z",
        engine="by hand",
        engine_version="1",
        engine_flags={},
        model="llama-135m-random",
        is_synthetic=True,
        seed=1,
    ),
    host=Host(cpu_model="a CPU", cpu_cores=2, ram_gib=8.0, accelerators=(), os="Linux"),
    limits=EngineLimits(
        scheduler=Scheduler.SLOTS,
        max_sequences=1,
        step_token_budget=2000,
        context_tokens=8192,
        kv_capacity_tokens=8192,
    ),
    fit=StepTimeFit(
        step_time=StepTime(
            base_s=0.0,
            per_prefill_token_s=0.001,
            per_sequence_s=0.0,
            per_sqrt_sequence_s=0.0,
            per_resident_token_s=0.0,
            per_attention_pair_s=0.0,
            request_overhead_s=0.0,
        ),
        posterior=(),
        hull=Hull(
            max_input_tokens=8000,
            max_output_tokens=100,
            max_concurrency=1,
            min_input_output_ratio=0.1,
            max_input_output_ratio=5000.0,
        ),
        points=9,
        fitted_tpot_error_frac=0.02,
        fitted_ttft_error_frac=0.02,
        held_out_tpot_error_frac=0.05,
        held_out_ttft_error_frac=0.1,
    ),
    memory=Memory(scope="process", weights_file_gib=0.14, kv_bytes_per_token=None, peak_gib=0.6, available_gib=4.0),
    power=None,
    load_time_s=1.0,
    levels=(LEVEL,),
    missing={"power": "no sensor"},
)
"""One request at a time, one second per 1,000 prompt tokens, nothing for the output."""

SCENARIO = """\
schema_version = 1
name = "worked example"
start_month = "2026-12"
horizon_months = 48
profile = "profile.json"

[workload]
log = "log.csv"
requests_per_day = 216_000

[slo]
attainment_frac = 0.99
e2e_s = 1.5

[candidates]
api = ["openai/gpt-4o-mini"]

[[candidates.rent]]
offer = "aws-c7a-large"
replicas_per_machine = 1

[[candidates.own]]
offer = "cpu-1p-8c"
replicas_per_machine = 2

[assumptions]
electricity_usd_per_kwh = 0.10
pue_ratio = 1.5
colocation_usd_per_kw_month = 200
support_frac_per_year = 0.12
staff_fte = { low = 0.05, mid = 0.1, high = 0.3, source = "a test", as_of = "2026-11-20" }
staff_usd_per_fte_year = 120_000
network_frac_of_hardware = 0.10
discount_rate_frac_per_year = 0
api_price_drift_frac_per_year = 0
rental_price_drift_frac_per_year = 0
throughput_ratio = 1
installation_frac_of_hardware = 0
migration_fte_months = 0
exit_fte_months = 0
api_price_steps_per_year = 0
rental_price_steps_per_year = 0
"aws-c7a-large/usd_per_h" = 0.10264
"cpu-1p-8c/price_usd" = 2400
"cpu-1p-8c/life_years" = 4
"cpu-1p-8c/residual_frac" = 0
"cpu-1p-8c/idle_w" = 50
"cpu-1p-8c/loaded_w" = 150
"""


def write_case(
    directory: Path, scenario: str = SCENARIO, profile: Profile = ONE_AT_A_TIME, input_tokens: int = 1000
) -> Path:
    """A directory with scenario.toml, profile.json and a log of 400 equal requests, one every 0.4 s."""
    rows = [f"{0.4 * i:.1f},{input_tokens},1" for i in range(400)]
    (directory / "log.csv").write_text("arrival_s,input_tokens,output_tokens\n" + "\n".join(rows) + "\n")
    (directory / "profile.json").write_bytes(dump_profile(profile))
    (directory / "scenario.toml").write_text(scenario)
    return directory


def measured(profile: Profile = ONE_AT_A_TIME) -> Profile:
    """The same replica with real weights."""
    return dataclasses.replace(profile, provenance=dataclasses.replace(profile.provenance, is_synthetic=False))
