"""Synthetic files against the gguf library, published figures and tiktoken."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import gguf
import pytest

from measure.architectures import find_architecture
from measure.blocks import Quant
from measure.modelfile import read_model_file
from measure.synthetic import LABEL, write_synthetic_gguf
from measure.vocabulary import RANKS_FILE, build_vocabulary
from planner.errors import InputError


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    write_synthetic_gguf(path, find_architecture("tiny-1m"), Quant.Q8_0, seed=1)
    return path


def test_smollm2_has_the_published_number_of_parameters() -> None:
    # 30 x (2 x 576 x 64 x (9 + 3) + 3 x 576 x 1536) + 49152 x 576 + 61 x 576
    # = 30 x (884,736 + 2,654,208) + 28,311,552 + 35,136 = 134,515,008, the figure on the model's page
    smollm2 = find_architecture("SmolLM2-135M")
    assert smollm2.parameters == 134_515_008
    assert smollm2.kv_bytes_per_token() == 2 * 30 * 3 * 64 * 2 == 23_040


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("SmolLM2-360M", 361_821_120),
        ("SmolLM2-1.7B", 1_711_376_384),
        ("TinyLlama-1.1B", 1_100_048_384),
        ("Llama-3.2-1B", 1_235_814_400),
        ("Llama-3.2-3B", 3_212_749_824),
        ("Llama-3.1-8B", 8_030_261_248),
        ("Llama-3.1-70B", 70_553_706_496),
        ("Mistral-7B-v0.3", 7_248_023_552),
    ],
)
def test_the_catalogue_has_the_parameter_counts_of_the_models_pages(name: str, parameters: int) -> None:
    assert find_architecture(name).parameters == parameters


@pytest.mark.parametrize("quant", Quant)
def test_every_format_is_what_the_library_reads_with_the_wanted_spread(quant: Quant, tmp_path: Path) -> None:
    shape = replace(find_architecture("Tiny-1M"), hidden=256, head_dim=64, feed_forward=512)
    path = tmp_path / "model.gguf"
    write_synthetic_gguf(path, shape, quant, seed=1)
    reader = gguf.GGUFReader(path)
    for tensor in reader.tensors:
        if "norm" in tensor.name:
            continue
        assert tensor.tensor_type == gguf.GGMLQuantizationType[quant]
        weights = gguf.dequantize(tensor.data, tensor.tensor_type)
        columns = int(tensor.shape[0])
        assert weights.std() == pytest.approx(columns**-0.5, rel=0.03)
        assert abs(weights.mean()) < 0.12 * columns**-0.5  # Q4_0 holds -8 to 7, half a step off the middle
    assert sum(int(t.n_elements) for t in reader.tensors) == shape.parameters


def test_a_format_that_does_not_suit_the_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="256 weights together and this model has rows of 576"):
        write_synthetic_gguf(tmp_path / "x.gguf", find_architecture("SmolLM2-135M"), Quant.Q4_K, seed=1)
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


def test_unknown_architecture_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="SmolLM2-135M"):
        find_architecture("gpt-17")


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
