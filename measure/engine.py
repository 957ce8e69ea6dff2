"""Start the embedded engine in its own process, wait until it answers, and take it down again."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from measure.endpoint import Endpoint
from measure.gpu import GpuReader
from measure.host import usable_cores
from measure.modelfile import ModelFile, read_model_file
from measure.run_info import EngineFacts
from planner.errors import EngineError

LOOPBACK = "127.0.0.1"
_POLL_S = 0.05
_STOP_GRACE_S = 3.0
_LOG_TAIL_BYTES = 4000
_SPIN_VARIABLE = "GOMP_SPINCOUNT"
_IDLE_SPINS, _BUSY_SPINS = "10000", "300"
_BUSY_CORES = 0.25
_LOOK_AROUND_S = 0.5
"""How long an engine thread spins at a barrier before it sleeps; a value set by the user wins.

With as many threads as cores, a thread that sleeps is at the mercy of how fast a (virtual) core wakes: a step of eight
sequences took 36 to 46 ms with 300 spins and 30 to 35 ms with 1,000, 3,000 or 10,000 (135M Q8_0 shape, 2 cores, medians
of four interleaved levels each). A thread that spins burns the time slice that the other one needs, once a neighbour
uses the same cores: beside one busy loop TPOT of one stream was 19 ms with 300 spins, 32 with 1,000, 69 with 3,000 and
about 200 with 10,000. So the engine spins long on a machine where others use less than a quarter of a core as it
starts, and shortly on any other.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How to run a model file: `slots` sequences at once, each with up to `context_tokens` of prompt and output, or as
    many as the model was made for."""

    model: Path
    slots: int = 4
    context_tokens: int = 8192
    threads: int | None = None  # None: one per core that this process may use
    port: int | None = None  # None: a free one
    ready_timeout_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningEngine:
    """An engine that answered. `obituary` says in one sentence how it ended, `None` while it runs."""

    endpoint: Endpoint
    facts: EngineFacts
    process: subprocess.Popen[bytes]
    log: Path

    def obituary(self) -> str | None:
        code = self.process.poll()
        if code is None:
            return None
        return f"the embedded engine ended {exit_words(code)}; last line of {self.log}: {last_line(self.log)}"


@contextmanager
def embedded_engine(options: EngineOptions, directory: Path) -> Iterator[RunningEngine]:
    """Run the engine within the block; its log is `engine.log` in `directory`.

    Raises `InputError` for a model file that is missing or no GGUF and a port in use, `EngineError` when the engine
    does not come up.
    """
    model = read_model_file(options.model)
    if model.context_tokens is not None:
        options = replace(options, context_tokens=min(options.context_tokens, model.context_tokens))
    _check_installed()
    port = _claim_port(options.port)
    threads = options.threads or usable_cores()
    facts_file, log = directory / "engine.json", directory / "engine.log"
    arguments = {
        "model": str(options.model),
        "alias": model.name,
        "host": LOOPBACK,
        "port": port,
        "slots": options.slots,
        "context_tokens": options.context_tokens,
        "threads": threads,
        "facts": str(facts_file),
    }
    facts_file.unlink(missing_ok=True)
    spins = os.environ.get(_SPIN_VARIABLE) or spin_count()
    with log.open("ab") as sink:
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "measure.embedded", json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {_SPIN_VARIABLE: spins},
        )
    try:
        _wait_until_ready(process, port, options, log)
        load_time_s = time.monotonic() - started
        yield RunningEngine(
            endpoint=Endpoint(host=LOOPBACK, port=port, is_tls=False, base_path="/v1"),
            facts=_facts(json.loads(facts_file.read_text()), model, options, threads, spins, load_time_s, process.pid),
            process=process,
            log=log,
        )
    finally:
        _stop(process)


def _check_installed() -> None:
    try:
        version("xllamacpp")
    except PackageNotFoundError:
        raise EngineError(
            "the embedded engine is not installed: pip install 'breakeven[engine]', "
            "or measure a running server with --endpoint"
        ) from None


def spin_count() -> str:
    """How often the threads of an engine that is about to start should spin: "10000" where others leave the machine
    idle, else "300". Looks for half a second."""
    busy_cores = psutil.cpu_percent(_LOOK_AROUND_S) / 100 * (psutil.cpu_count() or 1)
    return _IDLE_SPINS if busy_cores < _BUSY_CORES else _BUSY_SPINS


def _claim_port(wanted: int | None) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, wanted or 0))
        except OSError as error:
            raise EngineError(
                f"port {wanted} on {LOOPBACK} cannot be used ({error.strerror}); "
                "choose another one, or none to get a free one"
            ) from None
        port: int = probe.getsockname()[1]
    return port


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, options: EngineOptions, log: Path) -> None:
    deadline = time.monotonic() + options.ready_timeout_s
    while time.monotonic() < deadline:
        code = process.poll()
        if code is not None:
            raise EngineError(
                f"the embedded engine ended {exit_words(code)} while loading {options.model}: {last_line(log)} "
                f"(full log: {log}); try another file, or fewer slots and a shorter context if memory is short"
            )
        if _is_ready(port):
            return
        time.sleep(_POLL_S)
    raise EngineError(
        f"the embedded engine was not ready {options.ready_timeout_s:g} s after its start with {options.model}; "
        f"see {log}, or allow it more time"
    )


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _facts(
    said: dict[str, object],
    model: ModelFile,
    options: EngineOptions,
    threads: int,
    spins: str,
    load_time_s: float,
    pid: int,
) -> EngineFacts:
    system = str(said["system"])
    notes = []
    if "AVX512 = 1" not in system and _host_has_avx512():
        notes.append("the engine's build uses AVX2 only, this CPU could do AVX-512: a native build may be faster")
    gpus = GpuReader().names
    if gpus and not said["can_use_gpu"]:
        notes.append(
            f"THE GPU IS NOT USED: this build of the engine runs on the CPU only, the machine has {', '.join(gpus)}; "
            "install a GPU build of xllamacpp, or measure another server with --endpoint"
        )
    budget = said["step_token_budget"]
    assert isinstance(budget, int)
    return EngineFacts(
        name="llama.cpp (xllamacpp)",
        version=version("xllamacpp"),
        flags={
            "n_parallel": str(options.slots),
            "n_ctx": str(options.slots * options.context_tokens),
            "kv_unified": "true",
            "n_batch": str(budget),
            "threads": str(threads),
            "cache_prompt": "false",
            _SPIN_VARIABLE: spins,
            "build": str(said["build"]),
            "cpu_features": system.removeprefix("CPU :").replace(" = 1", "").replace(" |", "").strip(),
        },
        model=model.name,
        is_synthetic=model.is_synthetic,
        load_time_s=load_time_s,
        pid=pid,
        context_tokens=options.context_tokens,
        slots=options.slots,
        step_token_budget=budget,
        weights_file_bytes=model.file_bytes,
        kv_bytes_per_token=model.kv_bytes_per_token,
        notes=tuple(notes),
    )


def _host_has_avx512() -> bool:
    try:
        return " avx512f " in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process and all its children; polite first."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(_STOP_GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def exit_words(code: int) -> str:
    """A process's exit code in words."""
    if code < 0:
        return f"by signal {signal.Signals(-code).name}"
    return f"with exit code {code}"


def last_line(log: Path) -> str:
    """The last line that llama.cpp marked as an error, else the last line."""
    size = log.stat().st_size
    with log.open("rb") as file:
        file.seek(max(0, size - _LOG_TAIL_BYTES))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if " E " in line]
    return (errors or lines or ["it said nothing"])[-1]
