"""Levels that the client or other processes distorted; and the client's measurement of itself."""

import asyncio
from dataclasses import replace

import pytest
import uvloop

from measure.judge import bias_note, drift_note, is_contention, judge_level, judge_levels, uncertain_note
from measure.records import LevelRecord
from measure.run_info import SCHEMA_VERSION, ClientBias, EngineFacts, HostFacts, RunInfo, Session, TargetInfo
from measure.samples import Sensors, TelemetrySample
from measure.selftest import measure_client_bias
from measure.summary import summarise_level
from measure.sweep import grid_plan, quick_plan
from planner.profile import LevelSummary
from tests.measure.build import MS, level, request

ENGINE = EngineFacts(
    name="mock",
    version="1",
    flags={},
    model="m",
    is_synthetic=True,
    load_time_s=None,
    pid=None,
    context_tokens=None,
    slots=None,
    step_token_budget=None,
    weights_file_bytes=None,
    kv_bytes_per_token=None,
)
HOST = HostFacts(cpu_model="c", cpu_cores=2, ram_gib=1.0, accelerators=(), os="o", python="3")
SESSION = Session(session=1, started_at="2026-11-20T12:00:00+00:00", started_ns=0, engine=ENGINE, host=HOST)
BIAS = ClientBias(streams=8, ttft_bias_s=0.004, itl_error_frac=0.001, achieved_concurrency=8.0, client_cpu_frac=0.1)
INFO = RunInfo(
    schema_version=SCHEMA_VERSION,
    tool_version="0",
    seed=1,
    plan=grid_plan(concurrency=[1], input_tokens=10, output_tokens=4, level_s=1.0),
    target=TargetInfo(kind="gguf", location="m.gguf"),
    sessions=(SESSION,),
)
SENSORS = Sensors(
    session=1, interval_s=0.5, cpu_count=2, ram_total_gib=1.0, gpu_names=(), gpu_memory_total_gib=(), missing={}
)


def sample(t_ms: float, *, host_cpu_frac: float, server_cpu_s: float | None) -> TelemetrySample:
    return TelemetrySample(
        t_ns=round(t_ms * MS),
        host_cpu_frac=host_cpu_frac,
        load_1min=1.0,
        ram_available_gib=1.0,
        server_rss_gib=0.1,
        server_pss_gib=None,
        server_cpu_s=server_cpu_s,
        package_energy_j=None,
        gpus=(),
    )


LEVEL = level(start_ms=0, end_ms=1000, client_cpu_s=0.1)
SUMMARY = summarise_level(LEVEL, [request(start_ms=0, content_ms=[40, 960])])
# two cores busy to 90 % = 1.8; the server used 1.2 and the client 0.1 of them: 0.5 are somebody else's
CONTENDED = [sample(100, host_cpu_frac=0.9, server_cpu_s=1.0), sample(600, host_cpu_frac=0.9, server_cpu_s=1.6)]


def later(target: float, index: int) -> tuple[LevelRecord, LevelSummary]:
    """A calm level after the contended one."""
    start = 10_000 * index
    one = level(start_ms=start, end_ms=start + 1000, target=target)
    return one, summarise_level(one, [request(start_ms=start, content_ms=[start + 40, start + 990])] * int(target))


def test_other_processes_invalidate_a_level() -> None:
    calm = [later(1, 1), later(2, 2)]
    levels, summaries = [LEVEL, *(x for x, _ in calm)], [SUMMARY, *(x for _, x in calm)]
    judged, warnings = judge_levels(INFO, levels, summaries, CONTENDED, [SENSORS])
    assert [x.valid for x in judged] == [False, True, True]
    assert judged[0].invalid_reasons == ("other processes used 0.5 cores",)
    assert warnings == []


def test_a_plan_that_keeps_contended_levels_warns_only() -> None:
    kept = replace(INFO, plan=replace(INFO.plan, keeps_contended=True))
    (judged,), warnings = judge_levels(kept, [LEVEL], [SUMMARY], CONTENDED, [SENSORS])
    assert judged.valid
    assert "0.5 cores" in warnings[0]


def test_a_level_is_judged_alone_as_it_is_among_others() -> None:
    (among,), _ = judge_levels(INFO, [LEVEL], [SUMMARY], CONTENDED, [SENSORS])
    alone, why = judge_level(INFO, LEVEL, SUMMARY, CONTENDED, [SENSORS])
    assert alone == among
    assert is_contention(why[0])


def test_the_same_load_is_nothing_to_a_large_machine() -> None:
    # 1.8 of 64 cores busy, 1.2 the server's, 0.1 the client's: 0.5 cores are less than 6 % of 64
    wide = [replace(s, host_cpu_frac=1.8 / 64) for s in CONTENDED]
    (judged,), _ = judge_levels(INFO, [LEVEL], [SUMMARY], wide, [replace(SENSORS, cpu_count=64)])
    assert judged.valid


def test_a_quick_run_takes_the_machine_as_it_is_and_says_so() -> None:
    quick = replace(INFO, plan=quick_plan(budget_s=60, longest_input_tokens=None))
    (judged,), warnings = judge_levels(quick, [LEVEL], [SUMMARY], CONTENDED, [SENSORS])
    assert judged.valid
    assert warnings == ["what was measured is a busy machine, at 1 of 1 levels: level (other processes used 0.5 cores)"]
    assert judged.warnings == ("other processes used 0.5 cores",)


@pytest.mark.parametrize(("server_cpu_s", "host"), [((1.0, 1.9), 0.95), ((None, None), 0.95)])
def test_an_undisturbed_level_and_an_unknown_server_pass(
    server_cpu_s: tuple[float | None, float | None], host: float
) -> None:
    samples = [
        sample(100, host_cpu_frac=host, server_cpu_s=server_cpu_s[0]),
        sample(600, host_cpu_frac=host, server_cpu_s=server_cpu_s[1]),
    ]
    (judged,), warnings = judge_levels(INFO, [LEVEL], [SUMMARY], samples, [SENSORS])
    assert judged == SUMMARY
    assert warnings == []


def test_a_client_that_adds_a_tenth_to_the_ttft_invalidates_the_level() -> None:
    biased = replace(INFO, sessions=(replace(SESSION, client_bias=BIAS),))
    slow = [
        (
            one := level(start_ms=0, end_ms=1000, target=n),
            summarise_level(one, [request(start_ms=0, content_ms=[500, 999])] * n),
        )
        for n in (1, 2)
    ]
    levels, summaries = [LEVEL, *(x for x, _ in slow)], [SUMMARY, *(x for _, x in slow)]
    judged, _ = judge_levels(biased, levels, summaries, [], [])
    assert judged[0].invalid_reasons == ("the load client itself adds 4.0 ms to a TTFT of 40.0 ms",)
    assert [x.valid for x in judged[1:]] == [True, True]  # 4 of 500 ms
    assert bias_note(biased.sessions[0]) == [
        "the load client on a null server with 8 streams: TTFT +4.00 ms, ITL +0.10%"
    ]


def test_a_level_is_held_against_the_self_test_of_its_own_streams() -> None:
    alone = replace(BIAS, streams=1, ttft_bias_s=0.0001)
    few = replace(BIAS, streams=4, ttft_bias_s=0.01)
    session = replace(SESSION, client_bias=BIAS, fewer_streams_biases=(few, alone))
    info = replace(INFO, sessions=(session,))
    for target, verdict in ((1, True), (2, False), (8, False)):
        one = level(start_ms=0, end_ms=1000, target=target)
        summary = summarise_level(one, [request(start_ms=0, content_ms=[40, 999])] * target)
        assert judge_level(info, one, summary, [], [])[0].valid is verdict


def test_the_client_measures_itself_on_the_null_server() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        bias = runner.run(measure_client_bias(4, seconds=1.5, seed=1))
    assert bias.streams == 4
    assert bias.achieved_concurrency == pytest.approx(4, rel=0.05)
    assert bias.ttft_bias_s is not None
    assert bias.itl_error_frac is not None


def speed(name: str, tokens_per_s: float, ci_frac: float) -> tuple[LevelRecord, LevelSummary]:
    one = level(start_ms=0, end_ms=1000, level=name)
    return one, replace(SUMMARY, output_tokens_per_s=tokens_per_s, output_tokens_per_s_ci_frac=ci_frac)


def test_levels_with_a_wide_interval_are_named() -> None:
    levels, summaries = zip(*(speed("closed-a-1", 100, 0.03), speed("closed-a-2", 180, 0.12)), strict=True)
    assert uncertain_note(levels, summaries) == [
        "throughput not known to within 5% (95 % interval) at closed-a-2 +-12%"
    ]


@pytest.mark.parametrize(("again", "said"), [(97.0, False), (90.0, True)])
def test_a_machine_that_slowed_down_during_the_run_is_told(again: float, said: bool) -> None:
    levels, summaries = zip(*(speed("closed-a-1", 100, 0.0), speed("closed-a-1-again", again, 0.0)), strict=True)
    expected = ["the machine's speed changed by -10% during the run"] if said else []
    assert drift_note(levels, summaries) == expected
