"""Start a server by a command of the user's, wait until it answers, and take it down with all its children."""

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from measure.endpoint import Endpoint
from measure.engine import exit_words, last_line
from measure.probe import is_answering
from planner.errors import EngineError, InputError

_POLL_S = 0.25
_SAY_EVERY_S = 20.0
_STOP_GRACE_S = 15.0
READY_TIMEOUT_S = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchedServer:
    """A server that answers. `started_s` is when its command was started, by the monotonic clock."""

    process: subprocess.Popen[bytes]
    started_s: float
    log: Path

    def obituary(self) -> str | None:
        code = self.process.poll()
        if code is None:
            return None
        return f"the launched server ended {exit_words(code)}; last line of {self.log}: {last_line(self.log)}"


@contextmanager
def launched_server(
    command: str,
    endpoint: Endpoint,
    directory: Path,
    *,
    ready_timeout_s: float = READY_TIMEOUT_S,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[LaunchedServer]:
    """Run the command within the block; its output goes to `server.log` in `directory`.

    Raises `InputError` for a command that cannot be found or an endpoint that answers already, `EngineError` when the
    server ends or does not answer in time.
    """
    if endpoint.api_key and endpoint.api_key in command:
        raise InputError(
            "the command holds the API key, and commands are written down with the run; "
            "give the key to the server by its environment or a file"
        )
    words = shlex.split(command)
    if not words or shutil.which(words[0]) is None:
        raise InputError(f"cannot launch {command!r}: there is no program {words[0] if words else ''!r} on the path")
    if is_answering(endpoint):
        raise InputError(f"a server answers at {endpoint.url} already; stop it, or measure it without --launch")
    log = directory / "server.log"
    with log.open("ab") as sink:
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "measure.guard", *words],
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    said_s = 0.0
    try:
        while not is_answering(endpoint):
            code = process.poll()
            if code is not None:
                raise EngineError(
                    f"the launched server ended {exit_words(code)} before it answered at {endpoint.url}; "
                    f"last line of {log}: {last_line(log)}"
                )
            waited_s = time.monotonic() - started
            if waited_s > said_s + _SAY_EVERY_S:
                said_s = waited_s
                say(f"no answer at {endpoint.url} yet after {waited_s:.0f} s; last line of {log}: {last_line(log)}")
            if waited_s > ready_timeout_s:
                raise EngineError(
                    f"the launched server did not answer at {endpoint.url} within {ready_timeout_s:g} s; "
                    f"last line of {log}: {last_line(log)}"
                )
            time.sleep(_POLL_S)
        yield LaunchedServer(process=process, started_s=started, log=log)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(_STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
