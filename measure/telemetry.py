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

from measure.core_speed import CoreSpeedReader
from measure.embedded import end_with_parent
from measure.gpu import GpuReader
from measure.rundir import cut_half_line
from measure.samples import Sensors, TelemetrySample
from planner.units import BYTES_PER_GIB

INTERVAL_S = 0.5
_CORE_SPEED_S = 0.1
_PSS_EVERY_S = 10.0
_PSS_COST_FRAC = 0.003
"""The kernel walks all pages of a process for its PSS, 0.17 s of CPU for 9 GiB: read it so rarely that it costs no more
than this share of a core."""
_CHILDREN_EVERY = 10
_POWERCAP = Path("/sys/class/powercap")
_MICROJOULES_PER_JOULE = 1e6


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
    """Memory and CPU time of a process and all its children. The list of children is renewed every five seconds."""

    def __init__(self, pid: int | None) -> None:
        self._process: psutil.Process | None = None
        self._tree: list[psutil.Process] = []
        self._number = 0
        self._pss_due_s = time.monotonic()
        if pid is not None:
            try:
                self._process = psutil.Process(pid)
            except psutil.NoSuchProcess:
                self._process = None
        self.missing = {} if self._process else {"server": "the server's process is not known on this machine"}

    @property
    def pids(self) -> frozenset[int]:
        return frozenset(process.pid for process in self._tree)

    def sample(self) -> tuple[float | None, float | None, float | None]:
        """RSS [GiB], PSS [GiB] where it is this sample's turn, CPU time since start [s]."""
        if self._process is None:
            return None, None, None
        with_pss = time.monotonic() >= self._pss_due_s
        started_s = time.process_time()
        rss = pss = cpu_s = 0.0
        has_pss = with_pss
        try:
            if self._number % _CHILDREN_EVERY == 0:
                self._tree = [self._process, *self._process.children(recursive=True)]
            self._number += 1
            for process in self._tree:
                rss += process.memory_info().rss
                times = process.cpu_times()
                cpu_s += times.user + times.system
                if with_pss:
                    value = getattr(process.memory_full_info(), "pss", None)
                    has_pss = has_pss and value is not None
                    pss += value or 0.0
        except psutil.Error:
            self._number = 0  # a child ended: look again
            return None, None, None
        if with_pss:
            cost_s = time.process_time() - started_s
            self._pss_due_s = time.monotonic() + max(_PSS_EVERY_S, cost_s / _PSS_COST_FRAC)
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
    cores = CoreSpeedReader()
    sensors = Sensors(
        session=options["session"],
        interval_s=INTERVAL_S,
        cpu_count=psutil.cpu_count() or 1,
        ram_total_gib=psutil.virtual_memory().total / BYTES_PER_GIB,
        gpu_names=gpus.names,
        gpu_memory_total_gib=gpus.totals_gib,
        missing=gpus.missing | package.missing | server.missing | cores.missing,
    )
    psutil.cpu_percent()
    with open(options["path"], "ab", buffering=0) as file:
        file.write(orjson.dumps(sensors, option=orjson.OPT_APPEND_NEWLINE))
        next_s = time.monotonic()
        works_s: list[float] = []
        while True:
            rss_gib, pss_gib, cpu_s = server.sample()
            sample = TelemetrySample(
                t_ns=time.monotonic_ns(),
                host_cpu_frac=psutil.cpu_percent() / 100,
                load_1min=os.getloadavg()[0],
                ram_available_gib=psutil.virtual_memory().available / BYTES_PER_GIB,
                server_rss_gib=rss_gib,
                server_pss_gib=pss_gib,
                server_cpu_s=cpu_s,
                package_energy_j=package.sample(),
                gpus=gpus.sample(server.pids),
                own_cpu_s=time.process_time(),
                core_work_s=sum(works_s) / len(works_s) if works_s else None,
            )
            file.write(orjson.dumps(sample, option=orjson.OPT_APPEND_NEWLINE))
            next_s += INTERVAL_S
            works_s = []
            left_s = _CORE_SPEED_S
            while left_s > 0:
                left_s = max(0.0, next_s - time.monotonic())
                readable, _, _ = select([0], [], [], min(left_s, _CORE_SPEED_S))
                if readable and not os.read(0, 4096):
                    return
                if (work_s := cores.sample()) is not None:
                    works_s.append(work_s)


if __name__ == "__main__":
    main()
