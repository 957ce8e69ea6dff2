"""Sample the machine and the server's processes, in a process of its own, on the load client's clock.

Started as `python -m measure.telemetry OPTIONS_JSON`; ends with its standard input. `CLOCK_MONOTONIC` is one clock for
all processes of a machine. A sensor that is not there is named once with the reason and never read as zero.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select

import orjson
import psutil
import pynvml

from measure.embedded import end_with_parent
from measure.records import GpuSample, Sensors, TelemetrySample
from measure.rundir import cut_half_line
from planner.units import BYTES_PER_GIB, MILLIWATTS_PER_WATT

INTERVAL_S = 0.5
_PSS_EVERY = 8
_POWERCAP = Path("/sys/class/powercap")
_MICROJOULES_PER_JOULE = 1e6
_MILLIJOULES_PER_JOULE = 1e3


class GpuReader:
    """NVML, or nothing with a reason in `missing`. Energy and power cover the whole board, not one process."""

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
        if self.handles and self._read(pynvml.nvmlDeviceGetTotalEnergyConsumption, self.handles[0]) is None:
            self.missing["gpu_energy_j"] = "this GPU has no energy counter"

    def sample(self) -> tuple[GpuSample, ...]:
        return tuple(self._sample(index, handle) for index, handle in enumerate(self.handles))

    def _sample(self, index: int, handle: object) -> GpuSample:
        power_mw = self._read(pynvml.nvmlDeviceGetPowerUsage, handle)
        energy_mj = self._read(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle)
        try:
            utilisation = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
        except pynvml.NVMLError:
            utilisation = None
        try:
            temperature = float(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))
        except pynvml.NVMLError:
            temperature = None
        return GpuSample(
            index=index,
            memory_used_gib=pynvml.nvmlDeviceGetMemoryInfo(handle).used / BYTES_PER_GIB,
            utilisation_frac=utilisation,
            power_w=None if power_mw is None else power_mw / MILLIWATTS_PER_WATT,
            energy_j=None if energy_mj is None else energy_mj / _MILLIJOULES_PER_JOULE,
            temperature_c=temperature,
        )

    @staticmethod
    def _read(getter: object, handle: object) -> float | None:
        try:
            return float(getter(handle))  # type: ignore[operator]
        except pynvml.NVMLError:
            return None


class PackageEnergyReader:
    """RAPL counters of all CPU packages, summed, with wrap-around removed."""

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}
        self._zones = [zone for zone in sorted(_POWERCAP.glob("intel-rapl:*")) if zone.name.count(":") == 1]
        self._last: list[float] = []
        self._total_j = 0.0
        try:
            self._last = [self._counter(zone) for zone in self._zones]
        except OSError as error:
            self._zones = []
            self.missing["package_energy_j"] = f"RAPL counters are not readable ({error.strerror}); try as root"
        if not self._zones and not self.missing:
            self.missing["package_energy_j"] = "this machine offers no RAPL counters"

    def sample(self) -> float | None:
        if not self._zones:
            return None
        for i, zone in enumerate(self._zones):
            now = self._counter(zone)
            step = now - self._last[i]
            if step < 0:
                step += float((zone / "max_energy_range_uj").read_text()) / _MICROJOULES_PER_JOULE
            self._total_j += step
            self._last[i] = now
        return self._total_j

    @staticmethod
    def _counter(zone: Path) -> float:
        return float((zone / "energy_uj").read_text()) / _MICROJOULES_PER_JOULE


class ServerReader:
    """Memory and CPU time of a process and all its children."""

    def __init__(self, pid: int | None) -> None:
        self._process: psutil.Process | None = None
        if pid is not None:
            try:
                self._process = psutil.Process(pid)
            except psutil.NoSuchProcess:
                self._process = None
        self.missing = {} if self._process else {"server": "the server's process is not known on this machine"}

    def sample(self, *, with_pss: bool) -> tuple[float | None, float | None, float | None]:
        """RSS [GiB], PSS [GiB], CPU time since start [s]."""
        if self._process is None:
            return None, None, None
        rss = pss = cpu_s = 0.0
        has_pss = with_pss
        try:
            for process in (self._process, *self._process.children(recursive=True)):
                rss += process.memory_info().rss
                times = process.cpu_times()
                cpu_s += times.user + times.system
                if with_pss:
                    value = getattr(process.memory_full_info(), "pss", None)
                    has_pss = has_pss and value is not None
                    pss += value or 0.0
        except psutil.Error:
            return None, None, None
        return rss / BYTES_PER_GIB, pss / BYTES_PER_GIB if has_pss else None, cpu_s


@contextmanager
def telemetry(path: Path, *, session: int, server_pid: int | None) -> Iterator[None]:
    """Sample into `path` while the block runs."""
    cut_half_line(path)
    options = {"path": str(path), "session": session, "server_pid": server_pid}
    process = subprocess.Popen(
        [sys.executable, "-m", "measure.telemetry", json.dumps(options)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> None:
    end_with_parent()
    options = json.loads(sys.argv[1])
    gpus, package, server = GpuReader(), PackageEnergyReader(), ServerReader(options["server_pid"])
    sensors = Sensors(
        session=options["session"],
        interval_s=INTERVAL_S,
        cpu_count=psutil.cpu_count() or 1,
        ram_total_gib=psutil.virtual_memory().total / BYTES_PER_GIB,
        gpu_names=gpus.names,
        gpu_memory_total_gib=gpus.totals_gib,
        missing=gpus.missing | package.missing | server.missing,
    )
    psutil.cpu_percent()
    with open(options["path"], "ab", buffering=0) as file:
        file.write(orjson.dumps(sensors, option=orjson.OPT_APPEND_NEWLINE))
        number = 0
        next_s = time.monotonic()
        while True:
            rss_gib, pss_gib, cpu_s = server.sample(with_pss=number % _PSS_EVERY == 0)
            sample = TelemetrySample(
                t_ns=time.monotonic_ns(),
                host_cpu_frac=psutil.cpu_percent() / 100,
                load_1min=os.getloadavg()[0],
                ram_available_gib=psutil.virtual_memory().available / BYTES_PER_GIB,
                server_rss_gib=rss_gib,
                server_pss_gib=pss_gib,
                server_cpu_s=cpu_s,
                package_energy_j=package.sample(),
                gpus=gpus.sample(),
            )
            file.write(orjson.dumps(sample, option=orjson.OPT_APPEND_NEWLINE))
            number += 1
            next_s += INTERVAL_S
            readable, _, _ = select([0], [], [], max(0.0, next_s - time.monotonic()))
            if readable and not os.read(0, 4096):
                return


if __name__ == "__main__":
    main()
