"""GPU sensors against NVIDIA's own tool; and an absent GPU is a reason, not a zero."""

import subprocess

import pytest

from measure.gpu import GpuReader, throttle_reasons
from planner.units import BYTES_PER_GIB

_MIB = 1024**2


@pytest.mark.gpu
def test_memory_power_and_temperature_agree_with_nvidia_smi() -> None:
    query = "--query-gpu=memory.used,power.draw,temperature.gpu"
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    samples = GpuReader().sample()
    assert len(samples) == len(said)
    for sample, line in zip(samples, said, strict=True):
        memory_mib, power_w, temperature_c = (float(part) for part in line.split(","))
        assert sample.memory_used_gib == pytest.approx(memory_mib * _MIB / BYTES_PER_GIB, abs=0.5)
        assert sample.power_w == pytest.approx(power_w, rel=0.3, abs=15)
        assert sample.temperature_c == pytest.approx(temperature_c, abs=5)


@pytest.mark.gpu
def test_clocks_and_throttling_agree_with_nvidia_smi() -> None:
    query = "--query-gpu=clocks.sm,clocks.mem,clocks_throttle_reasons.active"
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    for sample, line in zip(GpuReader().sample(), said, strict=True):
        sm_mhz, memory_mhz, mask = line.split(",")
        assert sample.sm_clock_hz == pytest.approx(float(sm_mhz) * 1e6, rel=0.3)
        assert sample.memory_clock_hz == pytest.approx(float(memory_mhz) * 1e6, rel=0.3)
        assert sample.throttle_reasons == throttle_reasons(int(mask, 16))


@pytest.mark.gpu
def test_the_energy_counter_grows_by_power_times_time() -> None:
    reader = GpuReader()
    first = reader.sample()[0]
    if first.energy_j is None:
        assert "gpu_energy_j" in reader.missing
        return
    subprocess.run(["sleep", "2"], check=True)
    second = reader.sample()[0]
    assert second.energy_j is not None
    assert second.power_w is not None
    assert second.energy_j - first.energy_j == pytest.approx(2 * second.power_w, rel=0.3)


def test_a_machine_has_gpu_samples_or_a_reason_for_none() -> None:
    reader = GpuReader()
    assert bool(reader.sample()) != ("gpu" in reader.missing)
