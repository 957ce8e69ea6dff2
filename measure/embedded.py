"""The process that runs the embedded engine: llama.cpp's HTTP server out of one wheel, and nothing else.

Started by `measure.engine` as `python -m measure.embedded OPTIONS_JSON`. It lives until its standard input closes,
which happens however its parent ends, and therefore leaves no server behind.
"""

import ctypes
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies; elsewhere the closed standard input does it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _exit_at_end_of_input() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


def main() -> None:
    end_with_parent()
    threading.Thread(target=_exit_at_end_of_input, daemon=True).start()
    options: dict[str, Any] = json.loads(sys.argv[1])
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = options["model"]
    params.model_alias = {options["alias"]}
    params.hostnames = [options["host"]]
    params.port = options["port"]
    params.n_parallel = options["slots"]
    params.n_ctx = options["slots"] * options["context_tokens"]
    params.kv_unified = True
    params.cpuparams.n_threads = options["threads"]
    params.cpuparams_batch.n_threads = options["threads"]
    params.cache_prompt = False
    params.cache_ram_mib = 0
    params.slot_prompt_similarity = 0.0
    params.fit_params = False
    params.endpoint_metrics = True
    params.ui = False
    facts = {
        "build": " ".join(map(str, xllamacpp.BUILD_INFO.values())),
        "system": xllamacpp.get_system_info(),
        "can_use_gpu": any("GPU" in device["type"].name for device in xllamacpp.get_device_info()),
        "step_token_budget": params.n_batch,
    }
    Path(options["facts"]).write_text(json.dumps(facts))
    try:
        server = xllamacpp.Server(params)
    except Exception as error:
        print(error, flush=True)
        os._exit(1)
    print(f"listening on {server.listening_address}", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
