"""Synthetic files against the gguf library, published figures and tiktoken."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import gguf
import pytest

from measure.architectures import find_architecture
from measure.blocks import Storage, fitting
from measure.modelfile import read_model_file
from measure.quant import Quant, storage_of
from measure.synthetic import LABEL, weight_bytes, write_synthetic_gguf
from measure.vocabulary import RANKS_FILE, build_vocabulary
from planner.errors import InputError


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    write_synthetic_gguf(path, find_architecture("tiny-1m"), Quant.Q8_0, seed=1)
    return path


@pytest.mark.parametrize("quant", Quant)
def test_every_format_is_what_the_library_reads_with_the_wanted_spread(quant: Quant, tmp_path: Path) -> None:
    shape = replace(find_architecture("Tiny-1M"), hidden=256, head_dim=64, feed_forward=512, layers=8)
    path = tmp_path / "model.gguf"
    write_synthetic_gguf(path, shape, quant, seed=1)
    reader = gguf.GGUFReader(path)
    kinds = {tensor.name: storage_of(tensor, shape, quant) for tensor in shape.tensors() if tensor.is_quantised}
    for tensor in reader.tensors:
        if "norm" in tensor.name:
            continue
        assert tensor.tensor_type == gguf.GGMLQuantizationType[kinds[tensor.name]]
        weights = gguf.dequantize(tensor.data, tensor.tensor_type)
        columns = int(tensor.shape[0])
        assert weights.std() == pytest.approx(columns**-0.5, rel=0.03)
        assert abs(weights.mean()) < 0.12 * columns**-0.5  # Q4_0 holds -8 to 7, half a step off the middle
    assert sum(int(t.n_elements) for t in reader.tensors) == shape.parameters
    assert (len(set(kinds.values())) > 1) == (quant not in (Quant.F16, Quant.Q8_0, Quant.Q6_K))


def test_rows_that_no_block_divides_get_the_next_larger_format() -> None:
    assert fitting(Storage.Q4_K, 4096) is Storage.Q4_K
    assert fitting(Storage.Q4_K, 576) is Storage.Q5_0  # 2.25 blocks of 256, 18 of 32
    assert fitting(Storage.Q6_K, 896) is Storage.Q8_0
    assert fitting(Storage.Q8_0, 100) is Storage.F16


@pytest.mark.parametrize(
    ("name", "quant", "published_gb"),
    [
        ("Llama-3.1-8B", Quant.Q4_K_M, 4.92),
        ("Llama-3.1-8B", Quant.Q8_0, 8.54),
        ("Llama-3.1-8B", Quant.Q6_K, 6.60),
        ("Llama-3.1-8B", Quant.Q4_0, 4.66),
        ("Llama-3.1-70B", Quant.Q4_K_M, 42.52),
        ("Mistral-7B-v0.3", Quant.Q4_K_M, 4.37),
        ("Qwen2.5-7B", Quant.Q4_K_M, 4.68),
        ("Qwen3-8B", Quant.Q4_K_M, 5.03),
        ("Gemma-2-9B", Quant.Q4_K_M, 5.76),
        ("Phi-4", Quant.Q4_K_M, 9.05),
    ],
)
def test_files_are_as_large_as_the_published_ones(name: str, quant: Quant, published_gb: float) -> None:
    # file sizes as Hugging Face lists them for llama.cpp's own quantiser; the tokenizer is 0.005 to 0.01 GB of them
    assert weight_bytes(find_architecture(name), quant) / 1e9 == pytest.approx(published_gb, rel=0.004)


def test_a_model_too_large_for_the_disk_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    huge = replace(find_architecture("Tiny-1M"), layers=8, hidden=65536, feed_forward=1 << 20)
    with pytest.raises(InputError, match="make room, or choose a smaller model"):
        write_synthetic_gguf(tmp_path / "x.gguf", huge, Quant.F16, seed=1)
    assert list(tmp_path.iterdir()) == []


def test_the_gguf_library_reads_the_file_back(tiny: Path) -> None:
    architecture = find_architecture("Tiny-1M")
    reader = gguf.GGUFReader(tiny)
    sizes = {tensor.name: int(tensor.n_elements) for tensor in reader.tensors}
    assert sum(sizes.values()) == architecture.parameters
    assert sizes["blk.1.ffn_down.weight"] == architecture.feed_forward * architecture.hidden
    kinds = {tensor.tensor_type for tensor in reader.tensors if "norm" not in tensor.name}
    assert kinds == {gguf.GGMLQuantizationType.Q8_0}
    assert LABEL in reader.fields["general.name"].contents()
    assert len(reader.fields["tokenizer.ggml.tokens"].contents()) == architecture.vocabulary


def test_same_seed_same_bytes(tiny: Path, tmp_path: Path) -> None:
    for seed, is_same in ((1, True), (2, False)):
        path = tmp_path / f"{seed}.gguf"
        model = write_synthetic_gguf(path, find_architecture("Tiny-1M"), Quant.Q8_0, seed=seed)
        assert (path.read_bytes() == tiny.read_bytes()) is is_same
        assert model.file_bytes == path.stat().st_size


def test_header_reader_agrees_with_the_library(tiny: Path) -> None:
    model = read_model_file(tiny)
    assert model.is_synthetic
    assert model.architecture == "llama"
    assert model.context_tokens == 2048
    assert model.kv_bytes_per_token == find_architecture("Tiny-1M").kv_bytes_per_token()
    assert model.name == gguf.GGUFReader(tiny).fields["general.name"].contents()


def test_unusable_model_files_are_refused_in_one_sentence(tiny: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny.read_bytes()[:5000])
    text = tmp_path / "text.gguf"
    text.write_text("this is no model at all, whatever its name says")
    for path, words in ((tmp_path / "nothing.gguf", "no model file"), (text, "no GGUF file"), (cut, "cut short")):
        with pytest.raises(InputError, match=words):
            read_model_file(path)


def test_every_merge_builds_a_token_of_the_vocabulary() -> None:
    vocabulary = build_vocabulary(2000)
    tokens = set(vocabulary.tokens)
    assert len(vocabulary.tokens) == len(tokens) == 2000
    assert len(vocabulary.merges) == 2000 - 3 - 256
    assert all(merge.replace(" ", "") in tokens for merge in vocabulary.merges)


def test_a_vocabulary_larger_than_the_ranks_is_filled_with_unused_tokens() -> None:
    vocabulary = build_vocabulary(128_256)
    assert len(set(vocabulary.tokens)) == 128_256
    assert (vocabulary.ordinary, vocabulary.unused) == (100_256, 128_256 - 100_256 - 3)


def test_shipped_ranks_serve_tiktoken_offline() -> None:
    code = "import tiktoken; print(tiktoken.get_encoding('cl100k_base').encode('hello world'))"
    environment = os.environ | {"TIKTOKEN_CACHE_DIR": str(RANKS_FILE.parent), "HTTPS_PROXY": "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[15339, 1917]"  # as published for cl100k_base
