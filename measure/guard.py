"""Runs a command and takes it down with all its descendants when standard input closes.

Started as `python -m measure.guard COMMAND ARGUMENTS...`; ends with the command's exit code when that ends by itself.
The measuring program holds the other end of the standard input, so that however it ends, no server stays behind.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

import psutil

_GRACE_S = 10.0
_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    _adopt_orphans()
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)

    def take_down_at_end_of_input() -> None:
        while os.read(0, 4096):
            pass
        _signal_descendants(signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_S
        while _alive() and time.monotonic() < deadline:
            process.poll()
            time.sleep(0.05)
        _signal_descendants(signal.SIGKILL)
        os._exit(0)

    threading.Thread(target=take_down_at_end_of_input, daemon=True).start()
    code = process.wait()
    _signal_descendants(signal.SIGKILL)
    sys.stdout.flush()
    os._exit(code if code >= 0 else 128 - code)


def _adopt_orphans() -> None:
    """On Linux, processes whose parent ends become children of this one, also those in sessions of their own."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _alive() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if child.is_running() and _state(child) != psutil.STATUS_ZOMBIE]


def _state(process: psutil.Process) -> str:
    try:
        return process.status()
    except psutil.NoSuchProcess:
        return psutil.STATUS_ZOMBIE


def _signal_descendants(number: int) -> None:
    for child in _alive():
        try:
            child.send_signal(number)
        except psutil.NoSuchProcess:
            continue


if __name__ == "__main__":
    main()
