"""What a GGUF file says about itself: the header only, without its token lists and weights."""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

from measure.architectures import FULL_LAYER_EVERY
from measure.synthetic import LABEL
from planner.errors import InputError

_MAGIC = b"GGUF"
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_KV_BYTES_PER_ELEMENT = 2  # 16-bit cache, llama.cpp's default
IGNORES_WINDOW = ("llama", "qwen2", "qwen3", "phi3")
"""Families whose files may name a window that llama.cpp does not use."""

_Scalar = int | float | bool | str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """`kv_bytes_per_token` is the architecture's arithmetic for a 16-bit cache; `None` where a figure is lacking."""

    path: Path
    name: str
    architecture: str
    is_synthetic: bool
    file_bytes: int
    context_tokens: int | None
    kv_bytes_per_token: float | None
    window_tokens: int | None = None  # that some layers look back at


def read_model_file(path: Path) -> ModelFile:
    """Raises `InputError` when the file is missing, no GGUF file, or cut short within its header."""
    if not path.is_file():
        raise InputError(
            f"there is no model file {path}; give a GGUF file, or use --synthetic NAME to have one written"
        )
    if path.stat().st_size < 24:
        raise InputError(f"{path} is no GGUF file; the embedded engine reads nothing else")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:4] != _MAGIC:
            raise InputError(f"{path} is no GGUF file; the embedded engine reads nothing else")
        try:
            fields = _Header(data).read()
        except (struct.error, IndexError, KeyError, UnicodeDecodeError):
            raise InputError(
                f"the header of {path} is damaged or cut short; download or write the file again"
            ) from None
    name = str(fields.get("general.name") or path.stem)
    family = str(fields.get("general.architecture", ""))
    context = _whole(fields, f"{family}.context_length")
    return ModelFile(
        path=path,
        name=name,
        architecture=family,
        is_synthetic=LABEL in name,
        file_bytes=path.stat().st_size,
        context_tokens=context,
        kv_bytes_per_token=_kv_bytes_per_token(fields, family),
        window_tokens=_window(fields, family),
    )


def _whole(fields: dict[str, _Scalar], key: str) -> int | None:
    value = fields.get(key)
    return value if isinstance(value, int) else None


def _kv_bytes_per_token(fields: dict[str, _Scalar], family: str) -> float | None:
    """Layers x key-value heads x (key + value length) x 2 bytes, counting only layers that keep every token.

    `None` where heads differ from layer to layer, or where it is not known which layers look at a window only.
    """
    layers = _full_layers(fields, family)
    heads = _whole(fields, f"{family}.attention.head_count")
    kv_heads = _whole(fields, f"{family}.attention.head_count_kv")
    hidden = _whole(fields, f"{family}.embedding_length")
    default = hidden // heads if hidden and heads else None
    key = _whole(fields, f"{family}.attention.key_length") or default
    value = _whole(fields, f"{family}.attention.value_length") or default
    if not (layers and kv_heads and key and value):
        return None
    return float(layers * kv_heads * (key + value) * _KV_BYTES_PER_ELEMENT)


def _window(fields: dict[str, _Scalar], family: str) -> int | None:
    return None if family in IGNORES_WINDOW else _whole(fields, f"{family}.attention.sliding_window") or None


def _full_layers(fields: dict[str, _Scalar], family: str) -> int | None:
    layers = _whole(fields, f"{family}.block_count")
    if layers is None or _window(fields, family) is None:
        return layers
    every = FULL_LAYER_EVERY.get(family)
    return None if every is None else layers // every


class _Header:
    """Reads the key-value part from a mapped file; arrays are stepped over."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 8  # past magic and version

    def read(self) -> dict[str, _Scalar]:
        _tensors, count = self._number("Q"), int(self._number("Q"))
        fields: dict[str, _Scalar] = {}
        for _ in range(count):
            key = self._string()
            kind = int(self._number("I"))
            if kind == _ARRAY:
                self._skip_array()
            else:
                fields[key] = self._string() if kind == _STRING else self._number(_SCALARS[kind])
        return fields

    def _number(self, code: str) -> int | float | bool:
        layout = "<" + code
        value: int | float | bool = struct.unpack_from(layout, self._data, self._at)[0]
        self._at += struct.calcsize(layout)
        return value

    def _string(self) -> str:
        length = int(self._number("Q"))
        text = self._data[self._at : self._at + length]
        if len(text) != length:
            raise IndexError("the file ends within a string")
        self._at += length
        return text.decode()

    def _skip_array(self) -> None:
        kind, count = int(self._number("I")), int(self._number("Q"))
        if kind == _STRING:
            for _ in range(count):
                length = int(self._number("Q"))
                self._at += length
        elif kind == _ARRAY:
            for _ in range(count):
                self._skip_array()
        else:
            self._at += count * struct.calcsize("<" + _SCALARS[kind])
