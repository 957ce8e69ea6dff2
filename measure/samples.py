"""What the sensors said during a run: frozen records, the lines of `telemetry.jsonl`.

`t_ns` is a reading of the clock that the records of requests use.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSample:
    """One GPU; `power_w` is NVML's figure, on Ampere and later a mean over the last second."""

    index: int
    memory_used_gib: float
    utilisation_frac: float | None
    power_w: float | None
    energy_j: float | None  # counter since the driver was loaded
    temperature_c: float | None
    sm_clock_hz: float | None = None
    memory_clock_hz: float | None = None
    throttle_reasons: tuple[str, ...] = ()
    other_processes: int | None = None  # on this GPU, beside the server's own; `None` where process ids do not match


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySample:
    """One line of `telemetry.jsonl`. Server figures cover the process tree under the server's process id."""

    t_ns: int
    host_cpu_frac: float  # of all cores
    load_1min: float
    ram_available_gib: float
    server_rss_gib: float | None
    server_pss_gib: float | None  # read less often than the rest: costly
    server_cpu_s: float | None  # CPU time since its start
    package_energy_j: float | None  # RAPL counter, wrap-around removed
    gpus: tuple[GpuSample, ...]
    own_cpu_s: float | None = None  # of the sampling process itself
    core_work_s: float | None = (
        None  # CPU time of a fixed piece of work, mean over readings on one core after the other
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensors:
    """The first line of a telemetry session: what could not be read, with the reason."""

    session: int
    interval_s: float
    ram_total_gib: float
    gpu_names: tuple[str, ...]
    gpu_memory_total_gib: tuple[float, ...]
    missing: dict[str, str]
    cpu_count: int | None = None
