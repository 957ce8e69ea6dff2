"""Count the tokens of texts whose server reports no usage: after the load, and by the best tokenizer there is."""

from collections.abc import Callable, Sequence
from typing import Any

from measure.endpoint import Endpoint
from measure.records import TokenSource
from measure.web import try_asking
from planner.traces.token_count import shipped_encoding

_SAMPLE = "time people way water"
_APPROXIMATION = "cl100k_base"
_TOKENIZERS: dict[str, Callable[[str, str], dict[str, object]]] = {
    "/tokenize": lambda model, text: {
        "model": model,
        "prompt": text,  # vLLM, SGLang
        "content": text,  # llama.cpp
        "inputs": text,  # text-generation-inference
        "add_special_tokens": False,
        "add_special": False,
    },
    "/extras/tokenize": lambda model, text: {"model": model, "input": text},  # llama-cpp-python
}
"""Where servers tokenize, and the request; fields of other makes are ignored."""


def find_tokenize_path(endpoint: Endpoint, model: str) -> str | None:
    """The path at which the server tokenizes a text; `None` where none answers as expected."""
    return next((path for path in _TOKENIZERS if _count(endpoint, path, model, _SAMPLE)), None)


class TokenCounter:
    """Counts by the server's own tokenizer, else by one shipped with this package.

    `source` says which; the two are never mixed: a server tokenizer that fails ends in `None` for that text.
    """

    def __init__(self, endpoint: Endpoint, *, model: str, path: str | None) -> None:
        self._endpoint = endpoint
        self._model = model
        self._path = path
        self.source = TokenSource.APPROXIMATE if path is None else TokenSource.TOKENIZER
        self.name = _APPROXIMATION if path is None else f"the server's {path}"

    def count(self, texts: Sequence[str]) -> list[int | None]:
        """Tokens of each text without special ones; blocking, and never called while a level runs."""
        if self._path is None:
            return [
                len(tokens)
                for tokens in shipped_encoding(_APPROXIMATION).encode_ordinary_batch(list(texts), num_threads=1)
            ]
        special = _count(self._endpoint, self._path, self._model, "") or 0  # a begin token that cannot be left out
        counts = (_count(self._endpoint, self._path, self._model, text) for text in texts)
        return [None if count is None else count - special for count in counts]


def _count(endpoint: Endpoint, path: str, model: str, text: str) -> int | None:
    answer = try_asking(endpoint, path, _TOKENIZERS[path](model, text))
    if answer.status != 200:
        return None
    found: Any = answer.json
    if isinstance(found, dict):
        count = found.get("count")
        if isinstance(count, int):
            return count
        found = found.get("tokens")
    return len(found) if isinstance(found, list) else None
