"""Model files with random weights in a real architecture's shape.

Speed and memory depend on the shape and the quantisation, not on what the weights say, so such a file can be measured
before anybody downloads the real one. Its text is meaningless; the file's own metadata says so.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from measure.architectures import Architecture
from measure.vocabulary import SPECIAL_TOKENS, Vocabulary, build_vocabulary

LABEL = "synthetic, random weights"
_WEIGHT_STD = 0.04
_EMBEDDING_STD = 0.02


class Quant(StrEnum):
    """Storage of the matrices; norms stay in 32-bit floats."""

    Q8_0 = "Q8_0"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticModel:
    """A written file and the arithmetic that a measurement of it must agree with."""

    path: Path
    name: str
    parameters: int
    file_bytes: int
    kv_bytes_per_token: int
    context_tokens: int


def synthetic_name(architecture: Architecture, quant: Quant) -> str:
    return f"{architecture.name} {quant} ({LABEL})"


def write_synthetic_gguf(path: Path, architecture: Architecture, quant: Quant, seed: int) -> SyntheticModel:
    """Write a GGUF file of that shape; the same arguments give the same bytes.

    Quantised blocks are drawn directly, without a float pass. The file appears under its name only when complete.
    """
    vocabulary = build_vocabulary(architecture.vocabulary)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    writer = gguf.GGUFWriter(partial, "llama")
    _add_metadata(writer, architecture, quant)
    _add_tokenizer(writer, vocabulary)
    rng = np.random.default_rng(seed)
    for name, tensor, is_matrix in _tensors(architecture, rng):
        writer.add_tensor(name, tensor, raw_dtype=gguf.GGMLQuantizationType[quant] if is_matrix else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(partial, path)
    return SyntheticModel(
        path=path,
        name=synthetic_name(architecture, quant),
        parameters=architecture.parameters,
        file_bytes=path.stat().st_size,
        kv_bytes_per_token=architecture.kv_bytes_per_token(),
        context_tokens=architecture.context_tokens,
    )


def _add_metadata(writer: "gguf.GGUFWriter", architecture: Architecture, quant: Quant) -> None:
    writer.add_name(synthetic_name(architecture, quant))
    writer.add_description(f"{LABEL} in the shape of {architecture.name}; its text is meaningless")
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{quant}"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(architecture.context_tokens)
    writer.add_embedding_length(architecture.hidden)
    writer.add_block_count(architecture.layers)
    writer.add_feed_forward_length(architecture.feed_forward)
    writer.add_head_count(architecture.heads)
    writer.add_head_count_kv(architecture.kv_heads)
    writer.add_key_length(architecture.head_dim)
    writer.add_value_length(architecture.head_dim)
    writer.add_rope_dimension_count(architecture.head_dim)
    writer.add_rope_freq_base(architecture.rope_theta)
    writer.add_layer_norm_rms_eps(architecture.norm_epsilon)
    writer.add_vocab_size(architecture.vocabulary)


def _add_tokenizer(writer: "gguf.GGUFWriter", vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(vocabulary.tokens)
    special = [gguf.TokenType.CONTROL] * len(SPECIAL_TOKENS)
    writer.add_token_types([gguf.TokenType.NORMAL] * vocabulary.ordinary + special)
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(vocabulary.ordinary)
    writer.add_eos_token_id(vocabulary.ordinary + 1)
    writer.add_pad_token_id(vocabulary.ordinary + 2)
    writer.add_add_bos_token(False)


def _tensors(
    architecture: Architecture, rng: np.random.Generator
) -> Iterator[tuple[str, NDArray[np.uint8] | NDArray[np.float32], bool]]:
    """Every tensor of the file as (name, data, whether it is a quantised matrix)."""
    a = architecture
    ones = np.ones(a.hidden, np.float32)
    yield "token_embd.weight", _q8_0(rng, a.vocabulary, a.hidden, _EMBEDDING_STD), True
    yield "output_norm.weight", ones, False
    if not a.tied:
        yield "output.weight", _q8_0(rng, a.vocabulary, a.hidden, _EMBEDDING_STD), True
    query, key = a.heads * a.head_dim, a.kv_heads * a.head_dim
    matrices = {
        "attn_q": (query, a.hidden),
        "attn_k": (key, a.hidden),
        "attn_v": (key, a.hidden),
        "attn_output": (a.hidden, query),
        "ffn_gate": (a.feed_forward, a.hidden),
        "ffn_up": (a.feed_forward, a.hidden),
        "ffn_down": (a.hidden, a.feed_forward),
    }
    for layer in range(a.layers):
        yield f"blk.{layer}.attn_norm.weight", ones, False
        yield f"blk.{layer}.ffn_norm.weight", ones, False
        for name, (rows, columns) in matrices.items():
            yield f"blk.{layer}.{name}.weight", _q8_0(rng, rows, columns, _WEIGHT_STD), True


def _q8_0(rng: np.random.Generator, rows: int, columns: int, std: float) -> NDArray[np.uint8]:
    """Random Q8_0 blocks: a 16-bit scale, then 32 signed bytes, uniform in -128..127 (standard deviation 73.9)."""
    blocks = np.empty((rows * columns // 32, 34), np.uint8)
    blocks[:, 2:] = rng.integers(0, 256, (len(blocks), 32), dtype=np.uint8)
    blocks[:, :2] = np.frombuffer(np.float16(std / 73.9).tobytes(), np.uint8)
    return blocks.reshape(rows, columns // 32 * 34)
