"""A working byte-pair vocabulary of any size, cut from the ranks that the package ships.

A synthetic model needs a real tokenizer: prompts must have countable tokens and the server must do the same work.
"""

import base64
from dataclasses import dataclass
from functools import cache

from planner.traces.token_count import ranks_file

RANKS_FILE = ranks_file("cl100k_base")
SPECIAL_TOKENS = ("<|bos|>", "<|eos|>", "<|pad|>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Tokens in the printable spelling of byte-level BPE, and the merges that build them, best first.

    First the `ordinary` tokens, then `unused` ones without meaning, last the special three: begin, end and padding.
    """

    tokens: tuple[str, ...]
    merges: tuple[str, ...]
    ordinary: int
    unused: int


@cache
def _ranks() -> dict[bytes, int]:
    pairs = (line.split() for line in RANKS_FILE.read_bytes().splitlines())
    return {base64.b64decode(token): int(rank) for token, rank in pairs}


@cache
def _printable() -> tuple[str, ...]:
    """The character that stands for each byte: itself where it prints, else the next code point from U+0100 on."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    return tuple(chr(byte) if byte in visible else chr(next(spare)) for byte in range(256))


def _spell(token: bytes) -> str:
    letters = _printable()
    return "".join(letters[byte] for byte in token)


def _halves(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """The two parts that were merged last to make `token`: merge by rank as long as the rank is below its own."""
    limit = ranks[token]
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        candidates = ((ranks.get(parts[i] + parts[i + 1], limit), i) for i in range(len(parts) - 1))
        rank, i = min(candidates)
        if rank >= limit:
            raise ValueError(f"the ranks do not build token {token!r}")
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts[0], parts[1]


def build_vocabulary(size: int) -> Vocabulary:
    """`size` tokens: the best ranked ones with their merges, unused ones where the ranks do not suffice, and three
    special ones. Raises `ValueError` below 259, the single bytes and the special tokens."""
    ranks = _ranks()
    wanted = size - len(SPECIAL_TOKENS)
    if wanted < 256:
        raise ValueError(f"a vocabulary has at least {256 + len(SPECIAL_TOKENS)} tokens, not {size}")
    chosen = sorted(ranks, key=ranks.__getitem__)[:wanted]
    unused = [f"<|unused_{number}|>" for number in range(wanted - len(chosen))]
    merges = (_halves(token, ranks) for token in chosen if len(token) > 1)
    return Vocabulary(
        tokens=(*(_spell(token) for token in chosen), *unused, *SPECIAL_TOKENS),
        merges=tuple(f"{_spell(left)} {_spell(right)}" for left, right in merges),
        ordinary=len(chosen),
        unused=len(unused),
    )
