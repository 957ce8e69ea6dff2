"""What machine this is."""

import platform
from pathlib import Path

import psutil

from measure.gpu import GpuReader
from measure.run_info import HostFacts
from planner.units import BYTES_PER_GIB


def usable_cores() -> int:
    """Cores that this process may run on: containers and `taskset` grant fewer than the machine has."""
    process = psutil.Process()
    granted = len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else psutil.cpu_count()
    return granted or 1


def host_facts() -> HostFacts:
    return HostFacts(
        cpu_model=_cpu_model(),
        cpu_cores=usable_cores(),
        ram_gib=psutil.virtual_memory().total / BYTES_PER_GIB,
        accelerators=GpuReader().names,
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
    )


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
