"""Shapes of real models, from which a synthetic file of the right size and speed can be written."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

from planner.errors import InputError

CATALOGUE_FILE = Path(__file__).parent / "data" / "architectures.jsonl"


class Family(StrEnum):
    """What the layers are made of; the values are llama.cpp's names for it."""

    LLAMA = "llama"  # Mistral and, with experts, Mixtral too
    QWEN2 = "qwen2"  # biases on query, key and value
    QWEN3 = "qwen3"  # norms on query and key of every head
    QWEN3_MOE = "qwen3moe"
    GEMMA2 = "gemma2"  # norms before and after, every second layer looks at a window only
    GEMMA3 = "gemma3"  # and norms on query and key; five of six layers look at a window only
    PHI3 = "phi3"  # query, key and value in one matrix, gate and up in another
    SMOLLM3 = "smollm3"


FULL_LAYER_EVERY: dict[str, int] = {Family.GEMMA2: 2, Family.GEMMA3: 6}
"""Of so many layers one keeps the whole context, the others a window. Source: llama.cpp, `set_swa_pattern`."""
_HAS_QK_NORM = (Family.QWEN3, Family.QWEN3_MOE, Family.GEMMA3)
_HAS_POST_NORM = (Family.GEMMA2, Family.GEMMA3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One array of weights, outermost dimension first. `is_quantised`: stored in the file's format, else in 32-bit
    floats: norms and biases (one dimension), and the small matrix that picks the experts."""

    name: str
    shape: tuple[int, ...]
    is_quantised: bool

    @property
    def weights(self) -> int:
        product = 1
        for size in self.shape:
            product *= size
        return product


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """The dimensions of a decoder: all that speed and memory depend on.

    `feed_forward` is the width of the feed-forward part, with `experts` that of one expert. `tied` says that the output
    projection is the embedding matrix itself. `window_tokens` bounds what the windowed layers of Gemma look back at.
    `rope_dimensions` of each head are rotated. `source` is where the figures were read.
    """

    name: str
    family: Family
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    feed_forward: int
    vocabulary: int
    context_tokens: int
    rope_theta: float
    norm_epsilon: float
    tied: bool
    rope_dimensions: int
    source: str
    experts: int = 0
    experts_used: int = 0
    window_tokens: int | None = None
    has_attention_bias: bool = False

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor of the file in its order, under llama.cpp's names."""
        yield Tensor(name="token_embd.weight", shape=(self.vocabulary, self.hidden), is_quantised=True)
        yield _vector("output_norm.weight", self.hidden)
        if not self.tied:
            yield Tensor(name="output.weight", shape=(self.vocabulary, self.hidden), is_quantised=True)
        for layer in range(self.layers):
            for tensor in (*self._attention(), *self._feed_forward()):
                yield Tensor(name=f"blk.{layer}.{tensor.name}", shape=tensor.shape, is_quantised=tensor.is_quantised)

    def _attention(self) -> Iterator[Tensor]:
        query, key = self.heads * self.head_dim, self.kv_heads * self.head_dim
        yield _vector("attn_norm.weight", self.hidden)
        if self.family is Family.PHI3:
            yield _matrix("attn_qkv", query + 2 * key, self.hidden)
        else:
            for part, rows in (("q", query), ("k", key), ("v", key)):
                yield _matrix(f"attn_{part}", rows, self.hidden)
                if self.has_attention_bias:
                    yield _vector(f"attn_{part}.bias", rows)
        if self.family in _HAS_QK_NORM:
            yield _vector("attn_q_norm.weight", self.head_dim)
            yield _vector("attn_k_norm.weight", self.head_dim)
        yield _matrix("attn_output", self.hidden, query)
        if self.has_attention_bias and self.family is Family.LLAMA:
            yield _vector("attn_output.bias", self.hidden)
        if self.family in _HAS_POST_NORM:
            yield _vector("post_attention_norm.weight", self.hidden)

    def _feed_forward(self) -> Iterator[Tensor]:
        yield _vector("ffn_norm.weight", self.hidden)
        wide, narrow = (self.feed_forward, self.hidden), (self.hidden, self.feed_forward)
        if self.experts:
            yield Tensor(name="ffn_gate_inp.weight", shape=(self.experts, self.hidden), is_quantised=False)
            for name, shape in (("gate", wide), ("up", wide), ("down", narrow)):
                yield Tensor(name=f"ffn_{name}_exps.weight", shape=(self.experts, *shape), is_quantised=True)
        elif self.family is Family.PHI3:
            yield _matrix("ffn_up", 2 * self.feed_forward, self.hidden)
            yield _matrix("ffn_down", *narrow)
        else:
            yield _matrix("ffn_gate", *wide)
            yield _matrix("ffn_up", *wide)
            yield _matrix("ffn_down", *narrow)
        if self.family in _HAS_POST_NORM:
            yield _vector("post_ffw_norm.weight", self.hidden)

    @property
    def parameters(self) -> int:
        """All weights. SmolLM2-135M: 30 blocks of 3,540,096 + 49,152 x 576 + 576 = 134,515,008."""
        return sum(tensor.weights for tensor in self.tensors())

    @property
    def fingerprint(self) -> str:
        """Eight digits that differ between shapes, whatever they are called."""
        return f"{crc32(repr(replace(self, name='', source='')).encode()):08x}"

    @property
    def full_layers(self) -> int:
        """Layers whose cache keeps every token; the others keep a window."""
        every = FULL_LAYER_EVERY.get(self.family)
        return self.layers if every is None else self.layers // every

    def kv_bytes_per_token(self, bytes_per_element: int = 2) -> int:
        """Keys and values of one more token [bytes], beyond the window of windowed layers; 2 bytes per element is the
        16-bit cache.

        SmolLM2-135M: 2 x 30 layers x 3 heads x 64 x 2 = 23,040 bytes.
        """
        return 2 * self.full_layers * self.kv_heads * self.head_dim * bytes_per_element


def _vector(name: str, size: int) -> Tensor:
    return Tensor(name=name, shape=(size,), is_quantised=False)


def _matrix(name: str, rows: int, columns: int) -> Tensor:
    return Tensor(name=f"{name}.weight", shape=(rows, columns), is_quantised=True)


_FAMILIES = {
    "llama": Family.LLAMA,
    "mistral": Family.LLAMA,
    "mixtral": Family.LLAMA,
    "qwen2": Family.QWEN2,
    "qwen3": Family.QWEN3,
    "qwen3_moe": Family.QWEN3_MOE,
    "gemma2": Family.GEMMA2,
    "gemma3_text": Family.GEMMA3,
    "gemma3": Family.GEMMA3,
    "phi3": Family.PHI3,
    "smollm3": Family.SMOLLM3,
}

_COMMON_DEFAULTS: dict[str, Any] = {"tie_word_embeddings": False, "rope_theta": 10000.0, "rms_norm_eps": 1e-6}
_DEFAULTS: dict[Family, dict[str, Any]] = {
    Family.GEMMA2: {"tie_word_embeddings": True, "head_dim": 256, "sliding_window": 4096, "vocab_size": 256000},
    Family.GEMMA3: {
        "tie_word_embeddings": True,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "sliding_window": 4096,
        "vocab_size": 262208,
        "max_position_embeddings": 131072,
        "rope_theta": 1000000.0,
    },
    Family.PHI3: {"rms_norm_eps": 1e-5},
    Family.SMOLLM3: {"tie_word_embeddings": True, "rope_theta": 2000000.0},
}
"""What a config.json may leave out, by the defaults of the configuration classes of Hugging Face transformers 4.57."""


def architecture_from_config(config: dict[str, Any], *, name: str, source: str) -> Architecture:
    """The architecture that a Hugging Face `config.json` describes; of a vision model its language part.

    Raises `InputError` for a model type that is not known, and for a figure that is missing or no number.
    """
    model_type = config.get("model_type")
    family = _FAMILIES.get(str(model_type))
    if model_type is None:
        raise InputError(f"{source} names no model_type; give the config.json of a model as Hugging Face has it")
    if family is None:
        raise InputError(
            f"{source}: no synthetic model of the type {model_type!r} can be written; "
            f"the known ones are {', '.join(_FAMILIES)}"
        )
    given = config.get("text_config") or config
    values = _Config(_COMMON_DEFAULTS | _DEFAULTS.get(family, {}) | given, source)
    hidden, heads = values.whole("hidden_size"), values.whole("num_attention_heads")
    head_dim = values.whole("head_dim", hidden // heads)
    is_mixtral, is_qwen_moe = model_type == "mixtral", family is Family.QWEN3_MOE
    return Architecture(
        name=name,
        family=family,
        hidden=hidden,
        layers=values.whole("num_hidden_layers"),
        heads=heads,
        kv_heads=values.whole("num_key_value_heads", heads),
        head_dim=head_dim,
        feed_forward=values.whole("moe_intermediate_size" if is_qwen_moe else "intermediate_size"),
        vocabulary=values.whole("vocab_size"),
        context_tokens=values.whole("max_position_embeddings"),
        rope_theta=values.rope_theta(),
        norm_epsilon=values.number("rms_norm_eps"),
        tied=bool(values.get("tie_word_embeddings")),
        rope_dimensions=round(head_dim * values.number("partial_rotary_factor", 1.0)),
        source=source,
        experts=values.whole("num_local_experts") if is_mixtral else values.whole("num_experts") if is_qwen_moe else 0,
        experts_used=values.whole("num_experts_per_tok") if is_mixtral or is_qwen_moe else 0,
        window_tokens=values.whole("sliding_window") if family in FULL_LAYER_EVERY else None,
        has_attention_bias=family is Family.QWEN2 or (family is Family.LLAMA and bool(values.get("attention_bias"))),
    )


class _Config:
    """Figures of a config.json, checked as they are asked for."""

    def __init__(self, values: dict[str, Any], source: str) -> None:
        self._values = values
        self._source = source

    def get(self, key: str) -> Any:
        return self._values.get(key)

    def number(self, key: str, default: float | None = None) -> float:
        value = self._values.get(key)
        if value is None:
            value = default
        if value is None:
            raise InputError(f"{self._source} has no {key}; add it as the model's authors publish it")
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise InputError(f"{self._source}: {key} is {value!r}; it must be a number above 0")
        return float(value)

    def whole(self, key: str, default: int | None = None) -> int:
        value = self.number(key, default)
        if value != int(value):
            raise InputError(f"{self._source}: {key} is {value}; it must be a whole number")
        return int(value)

    def rope_theta(self) -> float:
        """Newer files keep it in `rope_parameters`, Gemma's one level deeper."""
        parameters = self._values.get("rope_parameters") or {}
        parameters = parameters.get("full_attention", parameters)
        self._values = self._values | {k: v for k, v in parameters.items() if k == "rope_theta"}
        return self.number("rope_theta")


@cache
def catalogue() -> tuple[Architecture, ...]:
    """The architectures that come with the package, read from the configurations that their authors published."""
    rows = (json.loads(line) for line in CATALOGUE_FILE.read_text().splitlines())
    return tuple(architecture_from_config(row["config"], name=row["name"], source=row["source"]) for row in rows)


def find_architecture(name: str) -> Architecture:
    """The catalogue's entry of that name, letter case ignored, or the one of a `config.json`.

    A model read from a file is named after the folder it lies in. Raises `InputError` with the names there are.
    """
    if name.endswith(".json"):
        return _read_config(Path(name))
    for architecture in catalogue():
        if architecture.name.lower() == name.lower():
            return architecture
    known = ", ".join(architecture.name for architecture in catalogue())
    raise InputError(
        f"no architecture called {name!r} in the catalogue; choose one of: {known}, or give a model's config.json"
    )


def _read_config(path: Path) -> Architecture:
    try:
        config = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give the config.json of a model") from None
    except ValueError as error:
        raise InputError(f"{path} is no JSON file: {error}; give the config.json of a model") from None
    if not isinstance(config, dict):
        raise InputError(f"{path} holds no JSON object; give the config.json of a model")
    name = config.get("_name_or_path") or path.resolve().parent.name
    return architecture_from_config(config, name=str(name).rstrip("/").rsplit("/", 1)[-1], source=str(path))
