"""Every family, scaled down, loads and generates in the real engine."""

import json
from dataclasses import replace
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from measure.architectures import Architecture, find_architecture
from measure.engine import EngineOptions, embedded_engine
from measure.modelfile import read_model_file
from measure.quant import Quant
from measure.synthetic import write_synthetic_gguf

pytestmark = pytest.mark.engine

SMALL = {"layers": 2, "hidden": 512, "feed_forward": 512, "vocabulary": 2048}
CASES: dict[str, dict[str, int]] = {
    "Llama-3.2-1B": {},
    "Mixtral-8x7B": {},
    "Qwen2.5-0.5B": {"heads": 8},  # these families' queries have the hidden size
    "Qwen3-0.6B": {},
    "Qwen3-30B-A3B": {"experts": 16},
    "Gemma-2-2B": {},
    "Gemma-3-1B": {"layers": 6},
    "Phi-4-mini": {"heads": 4, "kv_heads": 2},
    "SmolLM3-3B": {"layers": 4},
}


def scaled_down(name: str) -> Architecture:
    return replace(find_architecture(name), **(SMALL | CASES[name]))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CASES)
def test_it_loads_and_generates(name: str, tmp_path: Path) -> None:
    architecture = scaled_down(name)
    path = tmp_path / "model.gguf"
    write_synthetic_gguf(path, architecture, Quant.Q4_K_M, seed=0)
    model = read_model_file(path)
    assert (model.architecture, model.is_synthetic) == (architecture.family, True)
    assert model.kv_bytes_per_token == architecture.kv_bytes_per_token()
    with embedded_engine(EngineOptions(model=path, slots=1, context_tokens=256), tmp_path) as engine:
        body = {"prompt": "people water", "max_tokens": 6, "ignore_eos": True}
        request = Request(
            f"{engine.endpoint.url}/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urlopen(request, timeout=30) as response:
            said = json.load(response)
    assert said["usage"]["completion_tokens"] == 6
