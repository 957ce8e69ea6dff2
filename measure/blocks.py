"""Random weights in the storage formats of GGUF, drawn as finished blocks.

A few million weights are drawn once per format and tensors are cut from them at random places: an engine works through
repeated weights exactly as fast, and the file appears at the speed of the disk.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

_POOL_WEIGHTS = 1 << 21


class Storage(StrEnum):
    """How the weights of one tensor are stored; GGUF's names."""

    F16 = "F16"
    Q8_0 = "Q8_0"
    Q6_K = "Q6_K"
    Q5_K = "Q5_K"
    Q5_0 = "Q5_0"
    Q4_K = "Q4_K"
    Q4_0 = "Q4_0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A block of `weights` in `block_bytes`. `unit_std`: the weights' standard deviation when the scale is 1."""

    weights: int
    block_bytes: int
    unit_std: float
    set_scale: Callable[[NDArray[np.uint8], float], None]


def _bytes_of_half(value: float) -> NDArray[np.uint8]:
    return np.frombuffer(np.float16(value).tobytes(), np.uint8)


def _scale_first(blocks: NDArray[np.uint8], scale: float) -> None:
    """Q8_0, Q5_0 and Q4_0: a 16-bit scale, then the numbers."""
    blocks[:, :2] = _bytes_of_half(scale)


def _scale_super(middle: float) -> Callable[[NDArray[np.uint8], float], None]:
    """Q4_K and Q5_K: 256 weights d * 15 * q - dmin * 15 * 1 in 8 sub-blocks; with all 6-bit scales 15 and minima 15,
    and dmin = `middle` times d, the numbers q are centred on zero: 7.5 for 0..15, 15.5 for 0..31."""

    def set_scale(blocks: NDArray[np.uint8], scale: float) -> None:
        blocks[:, 0:2] = _bytes_of_half(scale / 15)
        blocks[:, 2:4] = _bytes_of_half(middle * scale / 15)
        blocks[:, 4:12] = 15
        blocks[:, 12:16] = 15 | 15 << 4

    return set_scale


def _scale_last(blocks: NDArray[np.uint8], scale: float) -> None:
    """Q6_K: 256 numbers of -32..31, 16 scales of 8 bits, here all 16, and the scale of them all at the end."""
    blocks[:, 192:208] = 16
    blocks[:, 208:210] = _bytes_of_half(scale / 16)


def _no_scale(blocks: NDArray[np.uint8], scale: float) -> None:
    """F16: the numbers themselves, uniform around zero with standard deviation `scale`."""
    width = scale * np.sqrt(12)
    uniform = np.random.default_rng(int(blocks[0, 0])).random(len(blocks)) - 0.5
    blocks[:] = (uniform * width).astype("<f2").view(np.uint8).reshape(-1, 2)


FORMATS = {
    # uniform over k whole numbers: standard deviation sqrt((k^2 - 1) / 12), so 73.9, 18.47, 9.23 and 4.61
    Storage.F16: Format(weights=1, block_bytes=2, unit_std=1.0, set_scale=_no_scale),
    Storage.Q8_0: Format(weights=32, block_bytes=34, unit_std=73.9, set_scale=_scale_first),
    Storage.Q6_K: Format(weights=256, block_bytes=210, unit_std=18.47, set_scale=_scale_last),
    Storage.Q5_K: Format(weights=256, block_bytes=176, unit_std=9.23, set_scale=_scale_super(15.5)),
    Storage.Q5_0: Format(weights=32, block_bytes=22, unit_std=9.23, set_scale=_scale_first),
    Storage.Q4_K: Format(weights=256, block_bytes=144, unit_std=4.61, set_scale=_scale_super(7.5)),
    Storage.Q4_0: Format(weights=32, block_bytes=18, unit_std=4.61, set_scale=_scale_first),
}

_SMALLER_BLOCKS = {Storage.Q4_K: Storage.Q5_0, Storage.Q5_K: Storage.Q5_0, Storage.Q6_K: Storage.Q8_0}


def fitting(storage: Storage, columns: int) -> Storage:
    """The storage, or the next larger one whose blocks divide rows of `columns`, as llama.cpp's quantiser chooses it.

    Rows of 576 in Q4_K: 576 is no multiple of 256, Q5_0 with blocks of 32 it is.
    """
    if columns % FORMATS[storage].weights:
        storage = _SMALLER_BLOCKS.get(storage, Storage.F16)
    return storage if columns % FORMATS[storage].weights == 0 else Storage.F16


class WeightSource:
    """Matrices of random blocks; the same seed and the same questions give the same matrices."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._pools: dict[tuple[Storage, int], NDArray[np.uint8]] = {}

    def matrix(self, storage: Storage, rows: int, columns: int) -> Iterator[NDArray[np.uint8]]:
        """The bytes of `rows` x `columns` weights in pieces, standard deviation 1 / sqrt(columns): activations keep
        their size."""
        layout = FORMATS[storage]
        pool = self._pool(storage, columns)
        left = rows * columns // layout.weights
        start = int(self._rng.integers(len(pool)))
        while left > 0:
            piece = pool[start : start + left]
            yield piece
            left -= len(piece)
            start = 0

    def _pool(self, storage: Storage, columns: int) -> NDArray[np.uint8]:
        key = (storage, columns)
        if key not in self._pools:
            layout = FORMATS[storage]
            blocks = _POOL_WEIGHTS // layout.weights
            pool = self._rng.integers(0, 256, (blocks, layout.block_bytes), dtype=np.uint8)
            layout.set_scale(pool, 1 / (layout.unit_std * np.sqrt(columns)))
            self._pools[key] = pool
        return self._pools[key]
