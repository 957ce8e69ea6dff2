"""Model files with random weights in a real architecture's shape.

Speed and memory depend on the shape and the quantisation, not on what the weights say, so such a file can be measured
before anybody downloads the real one. Its text is meaningless; the file's own metadata says so.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

from measure.architectures import Architecture
from measure.blocks import Quant, WeightSource
from measure.vocabulary import SPECIAL_TOKENS, Vocabulary, build_vocabulary

LABEL = "synthetic, random weights"
_FILE_TYPES = {Quant.Q4_K: "Q4_K_S"}  # GGUF names files by mixture; ours hold one format throughout


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

    Quantised blocks are drawn directly, without a float pass, and written one tensor at a time. The file appears under
    its name only when it is complete. Raises `InputError` where the format does not suit the shape.
    """
    vocabulary = build_vocabulary(architecture.vocabulary)
    source = WeightSource(quant, seed)
    tensors = list(_tensors(architecture))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    writer = gguf.GGUFWriter(partial, "llama")
    _add_metadata(writer, architecture, quant)
    _add_tokenizer(writer, vocabulary)
    for tensor in tensors:
        if tensor.rows is None:
            writer.add_tensor_info(tensor.name, (tensor.columns,), np.dtype(np.float32), 4 * tensor.columns)
        else:
            shape = (tensor.rows, source.row_bytes(tensor.columns))
            kind = gguf.GGMLQuantizationType[quant]
            writer.add_tensor_info(tensor.name, shape, np.dtype(np.uint8), shape[0] * shape[1], kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in tensors:
        if tensor.rows is None:
            writer.write_tensor_data(np.ones(tensor.columns, np.float32))
        else:
            writer.write_tensor_data(source.matrix(tensor.rows, tensor.columns))
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
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{_FILE_TYPES.get(quant, quant)}"])
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
    kinds = [gguf.TokenType.NORMAL] * vocabulary.ordinary + [gguf.TokenType.UNUSED] * vocabulary.unused
    writer.add_token_types(kinds + [gguf.TokenType.CONTROL] * len(SPECIAL_TOKENS))
    writer.add_token_merges(vocabulary.merges)
    first_special = vocabulary.ordinary + vocabulary.unused
    writer.add_bos_token_id(first_special)
    writer.add_eos_token_id(first_special + 1)
    writer.add_pad_token_id(first_special + 2)
    writer.add_add_bos_token(False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tensor:
    """A matrix, or with `rows` `None` a norm."""

    name: str
    rows: int | None
    columns: int


def _tensors(a: Architecture) -> Iterator[_Tensor]:
    """Every tensor of the file in its order."""
    yield _Tensor(name="token_embd.weight", rows=a.vocabulary, columns=a.hidden)
    yield _Tensor(name="output_norm.weight", rows=None, columns=a.hidden)
    if not a.tied:
        yield _Tensor(name="output.weight", rows=a.vocabulary, columns=a.hidden)
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
        for norm in ("attn_norm", "ffn_norm"):
            yield _Tensor(name=f"blk.{layer}.{norm}.weight", rows=None, columns=a.hidden)
        for name, (rows, columns) in matrices.items():
            yield _Tensor(name=f"blk.{layer}.{name}.weight", rows=rows, columns=columns)
