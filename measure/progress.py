"""What a running measurement reports to whoever shows it."""

from dataclasses import dataclass
from typing import Protocol

from planner.profile import LevelSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelProgress:
    """What a progress view shows while a level runs."""

    level: str
    phase: str
    elapsed_s: float
    max_s: float
    completed: int
    failed: int
    output_tokens_per_s: float
    last_ttft_s: float | None
    run_left_s: float | None = None
    power_w: float | None = None  # of all GPUs; `None` where no sensor says


class Progress(Protocol):
    """What a caller may show while a measurement runs; every method must return at once."""

    def note(self, text: str) -> None: ...

    def level(self, progress: LevelProgress) -> None: ...

    def finished(self, level: str, summary: LevelSummary) -> None: ...
