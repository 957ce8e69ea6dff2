"""Random weights in the storage formats of GGUF, drawn as finished blocks.

A few million weights are drawn once per format and tensors are cut from them at random places: an engine works through
repeated weights exactly as fast, and the file appears at the speed of the disk.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from planner.errors import InputError

_POOL_WEIGHTS = 1 << 21


class Quant(StrEnum):
    """Storage of the matrices; norms stay in 32-bit floats. Every matrix has this one format."""

    F16 = "F16"
    Q8_0 = "Q8_0"
    Q4_0 = "Q4_0"
    Q4_K = "Q4_K"


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
    """Q8_0 and Q4_0: a 16-bit scale, then the numbers."""
    blocks[:, :2] = _bytes_of_half(scale)


def _scale_super(blocks: NDArray[np.uint8], scale: float) -> None:
    """Q4_K: 256 weights d * 15 * q - dmin * 15 * 1 in 8 sub-blocks; with all 6-bit scales 15 and minima 15, and
    dmin = 7.5 d, the 4-bit q of 0..15 are centred on zero."""
    blocks[:, 0:2] = _bytes_of_half(scale / 15)
    blocks[:, 2:4] = _bytes_of_half(7.5 * scale / 15)
    blocks[:, 4:12] = 15
    blocks[:, 12:16] = 15 | 15 << 4


def _no_scale(blocks: NDArray[np.uint8], scale: float) -> None:
    """F16: the numbers themselves, uniform around zero with standard deviation `scale`."""
    width = scale * np.sqrt(12)
    uniform = np.random.default_rng(int(blocks[0, 0])).random(len(blocks)) - 0.5
    blocks[:] = (uniform * width).astype("<f2").view(np.uint8).reshape(-1, 2)


FORMATS = {
    # uniform over k whole numbers: standard deviation sqrt((k^2 - 1) / 12), 73.9 for 256 and 4.61 for 16 of them
    Quant.F16: Format(weights=1, block_bytes=2, unit_std=1.0, set_scale=_no_scale),
    Quant.Q8_0: Format(weights=32, block_bytes=34, unit_std=73.9, set_scale=_scale_first),
    Quant.Q4_0: Format(weights=32, block_bytes=18, unit_std=4.61, set_scale=_scale_first),
    Quant.Q4_K: Format(weights=256, block_bytes=144, unit_std=4.61, set_scale=_scale_super),
}


class WeightSource:
    """Matrices of random blocks; the same seed gives the same matrices."""

    def __init__(self, quant: Quant, seed: int) -> None:
        self._format = FORMATS[quant]
        self._quant = quant
        self._rng = np.random.default_rng(seed)
        count = _POOL_WEIGHTS // self._format.weights
        self._pool = self._rng.integers(0, 256, (count, self._format.block_bytes), dtype=np.uint8)

    def row_bytes(self, columns: int) -> int:
        """Raises `InputError` where a row is no whole number of blocks."""
        weights = self._format.weights
        if columns % weights:
            raise InputError(
                f"{self._quant} stores {weights} weights together and this model has rows of {columns}; "
                f"choose another of {', '.join(Quant)}"
            )
        return columns // weights * self._format.block_bytes

    def matrix(self, rows: int, columns: int) -> NDArray[np.uint8]:
        """`rows` x `columns` weights as bytes, standard deviation 1 / sqrt(columns): activations keep their size."""
        self._format.set_scale(self._pool, 1 / (self._format.unit_std * np.sqrt(columns)))
        count = rows * self.row_bytes(columns) // self._format.block_bytes
        start = int(self._rng.integers(len(self._pool)))
        copies = -(-(start + count) // len(self._pool))
        return np.tile(self._pool, (copies, 1))[start : start + count].reshape(rows, -1)
