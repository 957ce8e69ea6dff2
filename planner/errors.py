"""What can go wrong, and the exit code that each kind ends the program with.

BreakevenError                  (1)
|-- InputError                  (2)   a file, argument or scenario is wrong; the message names place and remedy
|-- EngineError                 (3)   an engine or server did not start, died or answered nonsense
`-- PriceError                  (4)   a price is missing, ambiguous or impossible; never answered with a number

"It does not fit" is no error but a value: see `planner.capacity.staircase.Shortfall`.
"""


class BreakevenError(Exception):
    """One sentence for the user: what happened, where, and what to do about it."""

    exit_code = 1


class InputError(BreakevenError):
    """A file, an argument or a scenario that cannot be used as it is."""

    exit_code = 2


class EngineError(BreakevenError):
    """An inference server that could not be started, reached or kept alive."""

    exit_code = 3


class PriceError(BreakevenError):
    """A price that cannot be resolved; a planner must stop here and not count it as zero."""

    exit_code = 4


def reason_of(error: Exception) -> str:
    """What went wrong, for a sentence that names the file itself: "No such file or directory", no number, no path."""
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start + 1} is no UTF-8 text; save it as UTF-8"
    if isinstance(error, IsADirectoryError):
        return "it is a directory; give a file"
    return (isinstance(error, OSError) and error.strerror) or str(error)
