"""Model files with random weights in a real architecture's shape.

Speed and memory depend on the shape and the quantisation, not on what the weights say, so such a file can be measured
before anybody downloads the real one. Its text is meaningless; the file's own metadata says so.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import gguf
import numpy as np

from measure.architectures import Architecture, Family, Tensor
from measure.blocks import FORMATS, Storage, WeightSource
from measure.quant import Quant, storage_of
from measure.vocabulary import SPECIAL_TOKENS, Vocabulary, build_vocabulary
from planner.errors import InputError

LABEL = "synthetic, random weights"
_FILE_TYPES = {Quant.Q4_K: "Q4_K_S", Quant.Q5_K: "Q5_K_S"}  # GGUF names files by mixture
_ROUTER_SPREAD = 0.02
_ALIGNMENT: int = gguf.GGUF_DEFAULT_ALIGNMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticModel:
    """A written file and the arithmetic that a measurement of it must agree with."""

    path: Path
    name: str
    parameters: int
    file_bytes: int
    kv_bytes_per_token: int
    context_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    tensor: Tensor
    storage: Storage | None  # None: 32-bit floats

    @property
    def bytes(self) -> int:
        if self.storage is None:
            return 4 * self.tensor.weights
        layout = FORMATS[self.storage]
        return self.tensor.weights // layout.weights * layout.block_bytes


def synthetic_name(architecture: Architecture, quant: Quant) -> str:
    return f"{architecture.name} {quant} ({LABEL})"


def write_synthetic_gguf(path: Path, architecture: Architecture, quant: Quant, seed: int) -> SyntheticModel:
    """Write a GGUF file of that shape; the same arguments give the same bytes.

    Quantised blocks are drawn directly, without a float pass. The file appears under its name only when it is complete.
    Raises `InputError` where the disk has no room for it.
    """
    stored = _stored(architecture, quant)
    path.parent.mkdir(parents=True, exist_ok=True)
    _check_room(path.parent, architecture, quant)
    partial = path.with_name(path.name + ".partial")
    writer = gguf.GGUFWriter(partial, str(architecture.family))
    _add_metadata(writer, architecture, quant)
    _add_tokenizer(writer, build_vocabulary(architecture.vocabulary))
    for entry in stored:
        _add_tensor_info(writer, entry)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    source = WeightSource(seed)
    with partial.open("ab") as file:
        _pad(file)
        for entry in stored:
            _write(file, entry, source)
            _pad(file)
    os.replace(partial, path)
    return SyntheticModel(
        path=path,
        name=synthetic_name(architecture, quant),
        parameters=architecture.parameters,
        file_bytes=path.stat().st_size,
        kv_bytes_per_token=architecture.kv_bytes_per_token(),
        context_tokens=architecture.context_tokens,
    )


def weight_bytes(architecture: Architecture, quant: Quant) -> int:
    """Size of the weights in that format: the file without its header and tokenizer."""
    return sum(entry.bytes for entry in _stored(architecture, quant))


def _stored(architecture: Architecture, quant: Quant) -> list[_Stored]:
    return [
        _Stored(tensor=tensor, storage=storage_of(tensor, architecture, quant) if tensor.is_quantised else None)
        for tensor in architecture.tensors()
    ]


def _check_room(folder: Path, architecture: Architecture, quant: Quant) -> None:
    needed_bytes, free = weight_bytes(architecture, quant), shutil.disk_usage(folder).free
    if needed_bytes > free:
        raise InputError(
            f"{architecture.name} in {quant} takes {needed_bytes / 1e9:.1f} GB and {folder.resolve()} has "
            f"{free / 1e9:.1f} GB left; make room, or choose a smaller model or format"
        )


def _add_tensor_info(writer: "gguf.GGUFWriter", entry: _Stored) -> None:
    tensor = entry.tensor
    if entry.storage is None:
        writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), entry.bytes)
        return
    layout = FORMATS[entry.storage]
    row_bytes = tensor.shape[-1] // layout.weights * layout.block_bytes
    kind = gguf.GGMLQuantizationType[entry.storage]
    is_half = entry.storage is Storage.F16
    shape = tensor.shape if is_half else (*tensor.shape[:-1], row_bytes)
    kind_of_numbers = np.dtype(np.float16 if is_half else np.uint8)
    writer.add_tensor_info(tensor.name, shape, kind_of_numbers, entry.bytes, kind)


def _write(file: BinaryIO, entry: _Stored, source: WeightSource) -> None:
    shape = entry.tensor.shape
    if entry.storage is not None:
        for piece in source.matrix(entry.storage, entry.tensor.weights // shape[-1], shape[-1]):
            file.write(piece.data)
    elif len(shape) == 1:
        is_bias = entry.tensor.name.endswith(".bias")
        file.write((np.zeros if is_bias else np.ones)(shape, np.float32).tobytes())
    else:
        router = np.random.default_rng(shape[0]).normal(0, _ROUTER_SPREAD, shape)
        file.write(router.astype(np.float32).tobytes())


def _pad(file: BinaryIO) -> None:
    file.write(bytes(-file.tell() % _ALIGNMENT))


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
    writer.add_rope_dimension_count(architecture.rope_dimensions)
    writer.add_rope_freq_base(architecture.rope_theta)
    writer.add_layer_norm_rms_eps(architecture.norm_epsilon)
    writer.add_vocab_size(architecture.vocabulary)
    if architecture.experts:
        writer.add_expert_count(architecture.experts)
        writer.add_expert_used_count(architecture.experts_used)
        writer.add_expert_feed_forward_length(architecture.feed_forward)
    if architecture.window_tokens is not None:
        writer.add_sliding_window(architecture.window_tokens)
    if architecture.family is Family.GEMMA2:
        writer.add_attn_logit_softcapping(50.0)
        writer.add_final_logit_softcapping(30.0)


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
