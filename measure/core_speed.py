"""How fast the cores are at this moment: the CPU time of one fixed piece of work, on one core after the other.

A core slows down without any counter saying so: its clock is lowered, or, on a rented machine, the host gives the
core's other hardware thread to somebody else. Neither shows as another process here nor as stolen time.
"""

import hashlib
import os
import time

from planner.units import NANOSECONDS_PER_SECOND

_WORK = bytes(131_072)
_TOUCH = bytes(4_096)


class CoreSpeedReader:
    """Hashes 128 KiB: about 0.15 ms of CPU in the core's own caches, so that the work is always the same."""

    def __init__(self) -> None:
        self._cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
        self._turn = 0
        self.missing = {} if self._cores else {"core_work_s": "this system cannot bind a process to a core"}

    def sample(self) -> float | None:
        """CPU seconds that the work took on the core whose turn it is; time that other processes had does not count.

        `None` where this system cannot tell, or has just taken that core away from the process.
        """
        if not self._cores:
            return None
        core = self._cores[self._turn % len(self._cores)]
        self._turn += 1
        try:
            os.sched_setaffinity(0, {core})
        except OSError:
            return None
        hashlib.blake2b(_TOUCH)
        start_ns = time.thread_time_ns()
        hashlib.blake2b(_WORK)
        took_ns = time.thread_time_ns() - start_ns
        os.sched_setaffinity(0, self._cores)
        return took_ns / NANOSECONDS_PER_SECOND
