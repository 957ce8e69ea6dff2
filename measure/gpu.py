"""NVIDIA GPUs through NVML, or nothing with a reason."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import psutil
import pynvml

from measure.samples import GpuSample
from planner.units import BYTES_PER_GIB, MILLIWATTS_PER_WATT

_MILLIJOULES_PER_JOULE = 1e3
_HERTZ_PER_MEGAHERTZ = 1e6

_THROTTLE_REASONS = {
    pynvml.nvmlClocksThrottleReasonSwPowerCap: "power cap",
    pynvml.nvmlClocksThrottleReasonHwSlowdown: "hardware slowdown",
    pynvml.nvmlClocksThrottleReasonSwThermalSlowdown: "software thermal slowdown",
    pynvml.nvmlClocksThrottleReasonHwThermalSlowdown: "hardware thermal slowdown",
    pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown: "power brake",
}
"""Bits of NVML's mask that mean less speed than asked for; idle clocks and clocks set by the user are no throttling."""

POWER_CAP = "power cap"


class GpuReader:
    """The machine's GPUs; `missing` holds a reason for every sensor that is not there.

    Energy and power cover the whole board, not one process. A figure that a GPU does not give is `None`.
    """

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}
        self.handles: list[object] = []
        try:
            pynvml.nvmlInit()
            self.handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        except pynvml.NVMLError as error:
            self.missing["gpu"] = f"no NVIDIA driver library answers on this machine ({error})"
        self.names = tuple(str(pynvml.nvmlDeviceGetName(handle)) for handle in self.handles)
        self.totals_gib = tuple(pynvml.nvmlDeviceGetMemoryInfo(h).total / BYTES_PER_GIB for h in self.handles)
        if self.handles and _ask(pynvml.nvmlDeviceGetTotalEnergyConsumption, self.handles[0]) is None:
            self.missing["gpu_energy_j"] = "this GPU has no energy counter"

    def sample(self, server_pids: Collection[int] = ()) -> tuple[GpuSample, ...]:
        return tuple(self._sample(index, handle, server_pids) for index, handle in enumerate(self.handles))

    def process_bytes(self, pid: int) -> int | None:
        """Memory of that process on all GPUs together [bytes]; `None` where it uses none or NVML does not say."""
        used = [size for handle in self.handles for owner, size in _processes(handle) or () if owner == pid]
        known = [size for size in used if size is not None]
        return sum(known) if known else None

    def _sample(self, index: int, handle: object, server_pids: Collection[int]) -> GpuSample:
        power_mw = _ask(pynvml.nvmlDeviceGetPowerUsage, handle)
        energy_mj = _ask(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle)
        utilisation = _ask(pynvml.nvmlDeviceGetUtilizationRates, handle)
        temperature = _ask(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU)
        sm_mhz = _ask(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM)
        memory_mhz = _ask(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_MEM)
        mask = _ask(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)
        processes = _processes(handle)
        return GpuSample(
            index=index,
            memory_used_gib=pynvml.nvmlDeviceGetMemoryInfo(handle).used / BYTES_PER_GIB,
            utilisation_frac=None if utilisation is None else utilisation.gpu / 100,
            power_w=None if power_mw is None else power_mw / MILLIWATTS_PER_WATT,
            energy_j=None if energy_mj is None else energy_mj / _MILLIJOULES_PER_JOULE,
            temperature_c=None if temperature is None else float(temperature),
            sm_clock_hz=None if sm_mhz is None else sm_mhz * _HERTZ_PER_MEGAHERTZ,
            memory_clock_hz=None if memory_mhz is None else memory_mhz * _HERTZ_PER_MEGAHERTZ,
            throttle_reasons=throttle_reasons(mask or 0),
            other_processes=None if processes is None else other_processes([pid for pid, _ in processes], server_pids),
        )


def throttle_reasons(mask: int) -> tuple[str, ...]:
    """The words for NVML's bits. 0x8 | 0x40 is a hardware thermal slowdown, named twice by the driver: both."""
    return tuple(words for bit, words in _THROTTLE_REASONS.items() if mask & bit)


def other_processes(
    pids: Sequence[int], server_pids: Collection[int], exists: Callable[[int], bool] = psutil.pid_exists
) -> int | None:
    """How many processes on a GPU are not the server's. `None` where the server is not among them and none of them
    exists here: in a container NVML counts with the host's process ids."""
    others = [pid for pid in pids if pid not in server_pids]
    if len(others) == len(pids) and pids and not any(exists(pid) for pid in pids):
        return None
    return len(others)


def _processes(handle: object) -> list[tuple[int, int | None]] | None:
    """(process id, bytes) of everything that computes on the GPU; a desktop that only draws does not count."""
    computing = _ask(pynvml.nvmlDeviceGetComputeRunningProcesses, handle)
    return None if computing is None else [(process.pid, process.usedGpuMemory) for process in computing]


def _ask(getter: Callable[..., Any], *arguments: object) -> Any:
    try:
        return getter(*arguments)
    except pynvml.NVMLError:
        return None
