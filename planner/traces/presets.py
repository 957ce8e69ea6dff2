"""Named workloads for those who have no log yet, drawn from the published catalogue of inference-perf.

Single calls with Poisson arrivals: turns of one conversation are not linked, lengths of prompt and output are
independent, and what lies outside the stated bounds is drawn again, which moves the mean a little.
Source: github.com/kubernetes-sigs/inference-perf 7de5ef2, workload-catalog (Apache-2.0), in data/workload_catalog.
"""

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.errors import InputError
from planner.workload import Workload

Floats = NDArray[np.float64]

PREFIX = "preset:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A named workload and the limits its authors justify, such as `ttft_p99_ms`, with the reasons beside them."""

    name: str
    mean_input_tokens: float
    mean_output_tokens: float
    slos: Mapping[str, float | str]


def list_presets() -> tuple[Preset, ...]:
    """All named workloads, in order of name."""
    found = []
    for name in _names():
        entry = _entry(name)
        found.append(
            Preset(
                name=name,
                mean_input_tokens=float(entry["input_sequence_length"]["mean"]),
                mean_output_tokens=float(entry["output_sequence_length"]["mean"]),
                slos=dict(entry["metadata"].get("slos", {})),
            )
        )
    return tuple(found)


def preset_workload(name: str, *, requests: int, requests_per_s: float, seed: int) -> Workload:
    """Draw a named workload: the same seed gives the same requests.

    Raises `InputError` for an unknown name, fewer than two requests or a rate that is not above 0.
    """
    if name not in _names():
        raise InputError(f"no preset {name!r}; there are {', '.join(_names())}")
    if requests < 2 or not requests_per_s > 0:
        raise InputError(f"a preset needs 2 requests or more and a rate above 0, got {requests} and {requests_per_s}/s")
    entry = _entry(name)
    rng = np.random.default_rng(seed)
    arrival_s = np.cumsum(rng.exponential(1 / requests_per_s, requests))
    arrival_s -= arrival_s[0]
    return Workload(
        name=name,
        arrival_s=arrival_s,
        input_tokens=_lengths(entry["input_sequence_length"], requests, rng),
        output_tokens=_lengths(entry["output_sequence_length"], requests, rng),
        span_s=float(arrival_s[-1]),
        starts_at=None,
        source=f"inference-perf workload catalogue, {name} (Apache-2.0)",
    )


def write_log(path: Path, workload: Workload) -> None:
    """Write a workload as a CSV that every other command reads, with Unix times where it has a calendar.

    Raises `InputError` where that fails.
    """
    start = datetime.fromisoformat(workload.starts_at[:26].rstrip("Z")) if workload.starts_at else None
    zero_s = start.replace(tzinfo=start.tzinfo or UTC).timestamp() if start else 0.0
    try:
        with path.open("w", encoding="utf-8", newline="") as text:
            writer = csv.writer(text)
            writer.writerow(("arrival_s", "input_tokens", "output_tokens"))
            for row in zip(workload.arrival_s, workload.input_tokens, workload.output_tokens, strict=True):
                writer.writerow((f"{zero_s + row[0]:.6f}", row[1], row[2]))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another place with --out") from None


def _names() -> list[str]:
    folder = files("planner").joinpath("data/workload_catalog")
    return sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))


def _entry(name: str) -> dict[str, dict[str, Any]]:
    text = files("planner").joinpath(f"data/workload_catalog/{name}.json").read_text(encoding="utf-8")
    entry: dict[str, dict[str, Any]] = json.loads(text)
    return entry


def _lengths(spec: Mapping[str, Any], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Whole token counts from min, max, mean and standard deviation; log-normal where no kind is stated."""
    low, high = max(float(spec["min"]), 1.0), float(spec["max"])
    mean, deviation = float(spec["mean"]), float(spec["standard_deviation"])
    kind = str(spec.get("distribution_type", "log_normal"))
    drawn = np.empty(0)
    while drawn.size < count:
        more = _draw(kind, low, high, mean, deviation, 2 * count, rng)
        drawn = np.concatenate([drawn, more[(more >= low) & (more <= high)]])
    return np.rint(drawn[:count]).astype(np.int64)


def _draw(
    kind: str, low: float, high: float, mean: float, deviation: float, count: int, rng: np.random.Generator
) -> Floats:
    if kind == "normal":
        return rng.normal(mean, deviation, count)
    if kind == "uniform":
        return rng.uniform(low, high, count)
    if kind == "exponential":
        return low + rng.exponential(mean - low, count)
    if kind == "bimodal":
        centre, spread = (mean - low) / (high - low), deviation / (high - low)
        concentration = centre * (1 - centre) / spread**2 - 1
        return low + (high - low) * rng.beta(centre * concentration, (1 - centre) * concentration, count)
    variance = math.log(1 + (deviation / mean) ** 2)
    return rng.lognormal(math.log(mean) - variance / 2, math.sqrt(variance), count)
