"""Energy over a window: series worked by hand."""

from dataclasses import replace

import pytest

from measure.energy import energy_notes, energy_of_level, mean_power_w, window_energy
from measure.gpu import other_processes, throttle_reasons
from measure.samples import GpuSample, TelemetrySample
from measure.summary import summarise_level
from tests.measure.build import level, request

S = 1_000_000_000


def gpu(index: int, energy_j: float | None, power_w: float | None) -> GpuSample:
    return GpuSample(
        index=index,
        memory_used_gib=1.0,
        utilisation_frac=None,
        power_w=power_w,
        energy_j=energy_j,
        temperature_c=None,
    )


def sample(t_s: float, *gpus: GpuSample, package_j: float | None = None) -> TelemetrySample:
    return TelemetrySample(
        t_ns=round(t_s * S),
        host_cpu_frac=0.0,
        load_1min=0.0,
        ram_available_gib=1.0,
        server_rss_gib=None,
        server_pss_gib=None,
        server_cpu_s=None,
        package_energy_j=package_j,
        gpus=gpus,
    )


STEADY = [sample(t, gpu(0, 100.0 * t, 100.0)) for t in range(6)]


def test_the_window_is_cut_between_samples() -> None:
    energy = window_energy(STEADY, S // 2, 2 * S, "gpu")
    assert energy is not None
    assert energy.counter_j == pytest.approx(150)  # 1.5 s at 100 W
    assert energy.trapezoid_j == pytest.approx(150)
    assert energy.disagreement_frac == pytest.approx(0)


def test_a_ramp_of_power_is_integrated_as_trapezoids() -> None:
    # 0 W at 0 s rising by 100 W a second: from 1 to 3 s (100 + 300) / 2 x 2 = 400 J, from 0.5 to 1.5 s 100 J
    ramp = [sample(t, gpu(0, None, 100.0 * t)) for t in range(5)]
    for start_s, end_s, joules in ((1, 3, 400), (0.5, 1.5, 100)):
        energy = window_energy(ramp, round(start_s * S), round(end_s * S), "gpu")
        assert energy is not None
        assert (energy.counter_j, energy.disagreement_frac) == (None, None)
        assert energy.trapezoid_j == pytest.approx(joules)
        assert energy.energy_j == pytest.approx(joules)


def test_all_gpus_count_and_one_silent_gpu_makes_it_unknown() -> None:
    two = [sample(t, gpu(0, 50.0 * t, 50.0), gpu(1, 30.0 * t, 30.0)) for t in range(4)]
    energy = window_energy(two, S, 3 * S, "gpu")
    assert energy is not None
    assert energy.counter_j == pytest.approx(160)
    silent = [sample(t, gpu(0, 50.0 * t, 50.0), gpu(1, None, None)) for t in range(4)]
    assert window_energy(silent, S, 3 * S, "gpu") is None


def test_packages_have_a_counter_only_and_scopes_stay_apart() -> None:
    both = [sample(t, gpu(0, 100.0 * t, 100.0), package_j=40.0 * t) for t in range(5)]
    energies = energy_of_level(level(start_ms=1000, end_ms=3000), both)
    assert [(e.scope, e.counter_j, e.trapezoid_j) for e in energies] == [
        ("gpu", pytest.approx(200), pytest.approx(200)),
        ("cpu-package", pytest.approx(80), None),
    ]


def test_a_window_without_readings_near_its_edges_has_no_energy() -> None:
    assert window_energy(STEADY, 4 * S, 9 * S, "gpu") is None
    assert window_energy(STEADY, 20 * S, 30 * S, "gpu") is None
    assert window_energy([], 0, S, "gpu") is None
    late = window_energy(STEADY, 4 * S, 6 * S, "gpu")  # the last second at the rate of the one before
    assert late is not None
    assert late.counter_j == pytest.approx(200)


def test_a_window_between_two_samples_takes_its_share() -> None:
    sparse = [sample(0, gpu(0, 0.0, 100.0)), sample(10, gpu(0, 1000.0, 100.0))]
    energy = window_energy(sparse, 2 * S, 5 * S, "gpu")
    assert energy is not None
    assert energy.counter_j == pytest.approx(300)


def test_mean_power_weighs_windows_by_their_length() -> None:
    # 100 W for 1 s and, after a jump of the counter, 300 W for 3 s: 1,000 J in 4 s
    series = [sample(t, gpu(0, j, None)) for t, j in ((0, 0.0), (1, 100.0), (10, 5000.0), (13, 5900.0))]
    assert mean_power_w(series, [(0, S), (10 * S, 13 * S)], "gpu", min_window_s=1.0) == pytest.approx(250)
    assert mean_power_w(series, [(0, S)], "gpu", min_window_s=2.0) is None


def test_a_contradiction_of_more_than_five_percent_is_noted() -> None:
    record = level(start_ms=1000, end_ms=3000)
    summary = summarise_level(record, [request(start_ms=1000, content_ms=[1100, 1200])])
    lying = [replace(s, gpus=(replace(s.gpus[0], power_w=107.0),)) for s in STEADY]
    close = [replace(s, gpus=(replace(s.gpus[0], power_w=104.0),)) for s in STEADY]
    said = energy_notes([replace(summary, energy=energy_of_level(record, lying))])
    assert said == [
        "balanced at 1: the gpu energy counter says 200 J, the power samples 214 J (7% apart); the counter is used"
    ]
    assert energy_notes([replace(summary, energy=energy_of_level(record, close))]) == []


def test_throttle_bits_have_words_and_idle_is_none() -> None:
    assert throttle_reasons(0x1 | 0x2) == ()  # idle, and clocks that the user set
    assert throttle_reasons(0x4) == ("power cap",)
    assert throttle_reasons(0x8 | 0x40) == ("hardware slowdown", "hardware thermal slowdown")


def test_other_processes_on_a_gpu() -> None:
    def here(pid: int) -> bool:
        return pid < 100

    assert other_processes([10, 11, 50], {10, 11}, here) == 1
    assert other_processes([10], {10}, here) == 0
    assert other_processes([], {10}, here) == 0
    assert other_processes([4711], {10}, here) is None  # the host's numbers, seen from a container
    assert other_processes([50], {10}, here) == 1
