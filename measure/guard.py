"""Runs a command in a process group of its own and takes the whole group down when standard input closes.

Started as `python -m measure.guard COMMAND ARGUMENTS...`; ends with the command's exit code when that ends by itself.
The measuring program holds the other end of the standard input, so that however it ends, no server stays behind.
"""

import os
import signal
import subprocess
import sys
import threading
import time

_GRACE_S = 10.0


def main() -> None:
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)

    def take_down_at_end_of_input() -> None:
        while os.read(0, 4096):
            pass
        _signal_group(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_S
        while _signal_group(process.pid, 0) and time.monotonic() < deadline:
            process.poll()
            time.sleep(0.05)
        _signal_group(process.pid, signal.SIGKILL)
        os._exit(0)

    threading.Thread(target=take_down_at_end_of_input, daemon=True).start()
    code = process.wait()
    _signal_group(process.pid, signal.SIGKILL)
    sys.stdout.flush()
    os._exit(code if code >= 0 else 128 - code)


def _signal_group(group: int, number: int) -> bool:
    """Whether the group was still there."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
