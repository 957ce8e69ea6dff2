"""Counting the tokens of a text with tiktoken, offline: the ranks come with the package."""

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from planner.errors import InputError

if TYPE_CHECKING:
    import tiktoken

ENCODINGS = {
    "cl100k_base": "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
    "o200k_base": "fb374d419588a4632f3f557e76b4b70aebbca790",
}
"""Encodings by name, with the name under which tiktoken's cache looks for their ranks."""

_CACHE_VARIABLE = "TIKTOKEN_CACHE_DIR"


def ranks_file(encoding: str) -> Path:
    """The byte-pair ranks of an encoding; their source and licence stand beside them."""
    return Path(__file__).parents[1] / "data" / "tiktoken" / ENCODINGS[encoding]


def count_tokens(text: str, encoding: str) -> int:
    """Tokens of a text; what looks like a special token counts as the plain text that it is. Raises `InputError`.

    "hello world" has 2 in both encodings.
    """
    return len(shipped_encoding(encoding).encode_ordinary(text))


@cache
def shipped_encoding(name: str) -> "tiktoken.Encoding":
    """The encoding from the ranks in this package. Raises `InputError` for one that is not shipped."""
    if name not in ENCODINGS:
        raise InputError(f"no encoding {name!r}; there are {', '.join(ENCODINGS)}")
    import tiktoken  # costs a tenth of a second that only text logs need

    before = os.environ.get(_CACHE_VARIABLE)
    os.environ[_CACHE_VARIABLE] = str(ranks_file(name).parent)
    try:
        return tiktoken.get_encoding(name)
    finally:
        if before is None:
            del os.environ[_CACHE_VARIABLE]
        else:
            os.environ[_CACHE_VARIABLE] = before
