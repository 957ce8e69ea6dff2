"""Levels on a GPU that was slowed down or shared."""

from dataclasses import replace

import pytest

from measure.judge import judge_levels, telemetry_note
from measure.samples import GpuSample, TelemetrySample
from measure.summary import summarise_level
from tests.measure.build import level, request
from tests.measure.test_judge import INFO, SENSORS, sample

GPU = GpuSample(index=0, memory_used_gib=1.0, utilisation_frac=1.0, power_w=300.0, energy_j=None, temperature_c=80.0)


def judged(*gpus: GpuSample) -> tuple[str, ...]:
    """Reasons against a level of one second, at which the GPU was sampled as given."""
    levels = [level(start_ms=1000 * n, end_ms=1000 * n + 1000, level=str(n), target=n) for n in (1, 2, 3)]
    requests = [[request(start_ms=1000 * n, content_ms=[1000 * n + 10, 1000 * n + 990])] * n for n in (1, 2, 3)]
    summaries = [summarise_level(record, done) for record, done in zip(levels, requests, strict=True)]
    step_ms = 1000 / len(gpus)
    samples = [
        replace(sample(1001 + step_ms * i, host_cpu_frac=0.0, server_cpu_s=None), gpus=(gpu,))
        for i, gpu in enumerate(gpus)
    ]
    found, _ = judge_levels(INFO, levels, summaries, samples, [SENSORS])
    assert found[1].valid
    return found[0].invalid_reasons


def test_a_power_cap_and_a_quiet_gpu_are_normal() -> None:
    assert judged(GPU, replace(GPU, throttle_reasons=("power cap",), other_processes=0)) == ()


def test_heat_and_company_invalidate_with_their_reason() -> None:
    hot = replace(GPU, throttle_reasons=("hardware thermal slowdown", "power cap"))
    assert judged(GPU, hot, GPU, GPU) == ("a GPU was slowed down for 25% of the time (hardware thermal slowdown)",)
    assert judged(GPU, replace(GPU, other_processes=2)) == ("2 other process(es) held a GPU",)


@pytest.mark.parametrize(("spent_s", "notes"), [(0.009, []), (0.02, ["telemetry itself used 2.0% of a core"])])
def test_telemetry_that_costs_more_than_a_hundredth_of_a_core_is_noted(spent_s: float, notes: list[str]) -> None:
    def spent(t_ms: float, cpu_s: float) -> TelemetrySample:
        return replace(sample(t_ms, host_cpu_frac=0.0, server_cpu_s=None), own_cpu_s=cpu_s)

    assert telemetry_note([spent(0, 0.4), spent(1000, 0.4 + spent_s)]) == notes
