"""A measurement that was started from a page: the command line in a process of its own, watched from outside.

It writes the same run directory as in a terminal. It ends when somebody cancels it, when its session ends and when the
server does; what was measured until then is kept and can be resumed.
"""

import os
import signal
import subprocess
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from planner.pages.imports import COMMAND

_LINES = 200
_GRACE_S = 20.0
_SECRET_ENDINGS = ("_API_KEY", "_TOKEN", "_SECRET")
_SHORTEST_SECRET = 6


class LiveRun:
    """One `breakeven measure` under way, which writes into `directory`.

    `said` holds its last lines, without any secret of the environment.
    """

    def __init__(self, arguments: Sequence[str], directory: Path) -> None:
        self.directory = directory
        self.said: deque[str] = deque(maxlen=_LINES)
        self._process = subprocess.Popen(
            [*COMMAND, "measure", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
            start_new_session=True, env={**os.environ, "NO_COLOR": "1", "COLUMNS": "110"},
        )  # fmt: skip
        self._reader = threading.Thread(target=_listen, args=(self._process, self.said), daemon=True)
        self._reader.start()
        self._end = weakref.finalize(self, end, self._process, 0.0)

    @property
    def exit_code(self) -> int | None:
        """`None` while it runs."""
        return self._process.poll()

    @property
    def requests(self) -> int:
        """How many requests the run directory holds so far."""
        return _lines(self.directory / "requests.jsonl")

    @property
    def levels(self) -> int:
        """How many load levels are finished, warm-ups included."""
        return _lines(self.directory / "levels.jsonl")

    @property
    def can_go_on(self) -> bool:
        """Whether there is a run to resume; without one the arguments or the server were refused at once."""
        return (self.directory / "run.json").is_file()

    @property
    def profile_file(self) -> Path:
        return self.directory / "profile.json"

    def cancel(self) -> None:
        """Ask it to stop, as Ctrl-C does, and end it with all its children where it does not listen."""
        threading.Thread(target=end, args=(self._process, _GRACE_S), daemon=True).start()


def end(process: "subprocess.Popen[str]", grace_s: float) -> None:
    """Interrupt the process; after `grace_s` [s] kill its whole group. Does nothing to one that has ended."""
    if process.poll() is not None:
        return
    try:
        os.killpg(process.pid, signal.SIGINT if grace_s > 0 else signal.SIGTERM)
        process.wait(grace_s or 3.0)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    except ProcessLookupError:
        return


def without_secrets(text: str) -> str:
    """The text with the value of every secret of the environment blacked out."""
    for name, value in os.environ.items():
        if name.endswith(_SECRET_ENDINGS) and len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, f"[{name}]")
    return text


def _listen(process: "subprocess.Popen[str]", said: deque[str]) -> None:
    assert process.stderr is not None
    with process.stderr as lines:
        for line in lines:
            if line.strip():
                said.append(without_secrets(line.rstrip()))


def _lines(path: Path) -> int:
    try:
        with path.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    except OSError:
        return 0
