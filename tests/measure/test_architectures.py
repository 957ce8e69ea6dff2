"""The catalogue against published parameter counts, and configurations as their authors write them."""

import json
from pathlib import Path
from typing import Any

import pytest

from measure.architectures import CATALOGUE_FILE, Family, catalogue, find_architecture
from planner.errors import InputError

ROWS = [json.loads(line) for line in CATALOGUE_FILE.read_text().splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
def test_the_tensors_add_up_to_the_published_parameters(row: dict[str, Any]) -> None:
    published = row["published_parameters"]
    if published is None:
        assert row["name"] == "Tiny-1M"
        return
    assert find_architecture(row["name"]).parameters == pytest.approx(published, rel=0.002)


def test_parameters_and_cache_of_a_small_model_by_hand() -> None:
    # 30 x (2 x 576 x 64 x (9 + 3) + 3 x 576 x 1536) + 49152 x 576 + 61 x 576
    # = 30 x (884,736 + 2,654,208) + 28,311,552 + 35,136 = 134,515,008, the figure on the model's page
    smollm2 = find_architecture("SmolLM2-135M")
    assert smollm2.parameters == 134_515_008
    assert smollm2.kv_bytes_per_token() == 2 * 30 * 3 * 64 * 2 == 23_040


def test_every_family_of_the_catalogue_is_there_and_all_shapes_of_a_name_differ() -> None:
    assert {architecture.family for architecture in catalogue()} == set(Family)
    assert len({architecture.name.lower() for architecture in catalogue()}) == len(catalogue())
    # the same shape under two names: weights of Llama 3.1 and 3.3 have other values, not other sizes
    assert find_architecture("Llama-3.1-70B").fingerprint == find_architecture("Llama-3.3-70B").fingerprint
    assert find_architecture("Llama-3-8B").fingerprint != find_architecture("Llama-3.1-8B").fingerprint


def test_gemma_caches_whole_contexts_in_some_layers_only() -> None:
    # Gemma 2 9B: 21 of 42 layers; Gemma 3 27B: 10 of 62 layers x 16 heads x 128 x 2 x 2 bytes
    assert find_architecture("gemma-2-9b").kv_bytes_per_token() == 21 * 8 * 256 * 2 * 2
    assert find_architecture("gemma-3-27b").kv_bytes_per_token() == 10 * 16 * 128 * 2 * 2 == 81_920


def write(folder: Path, **config: Any) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder / "config.json")


QWEN = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 896,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "intermediate_size": 4864,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "sliding_window": 32768,
    "tie_word_embeddings": True,
    "use_sliding_window": False,
}


@pytest.mark.parametrize(
    "rope", [{"rope_theta": 1e6}, {"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}]
)
def test_a_config_file_gives_the_shape_of_the_catalogue(tmp_path: Path, rope: dict[str, Any]) -> None:
    read = find_architecture(write(tmp_path / "Qwen2.5-0.5B", **QWEN, **rope))
    assert read.name == "Qwen2.5-0.5B"
    assert read.fingerprint == find_architecture("Qwen2.5-0.5B").fingerprint


def test_an_unknown_model_type_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config.json: no synthetic model of the type 'mamba2' .* llama, mistral"):
        find_architecture(write(tmp_path, **QWEN | {"model_type": "mamba2"}))
    with pytest.raises(InputError, match=r"config.json names no model_type"):
        find_architecture(write(tmp_path, hidden_size=64))
    with pytest.raises(InputError, match=r"no architecture called 'gpt-17'.*SmolLM2-135M.*config.json"):
        find_architecture("gpt-17")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden_size": None}, "has no hidden_size"),
        ({"hidden_size": "896"}, "hidden_size is '896'; it must be a number above 0"),
        ({"num_hidden_layers": 2.5}, "num_hidden_layers is 2.5; it must be a whole number"),
        ({"vocab_size": True}, "vocab_size is True"),
    ],
)
def test_unusable_figures_are_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        find_architecture(write(tmp_path, **QWEN | change))


def test_unusable_files_are_refused_in_one_sentence(tmp_path: Path) -> None:
    for text, words in (("[1]", "no JSON object"), ("{", "no JSON file")):
        path = tmp_path / "config.json"
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            find_architecture(str(path))
    with pytest.raises(InputError, match="No such file"):
        find_architecture(str(tmp_path / "nothing.json"))
