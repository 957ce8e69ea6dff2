"""A second opinion on API prices: a trimmed copy of litellm's price map, or the whole file that a user hands over.

The vendored copy keeps litellm's own key names, so that one reader serves both. It is re-made from a full map with
`python -m pricing.second_source FULL_MAP VERSION COPIED_ON > pricing/data/second_source.json`.
"""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

from planner.errors import InputError
from planner.units import TOKENS_PER_MTOK
from pricing.api import api_models
from pricing.rates import STANDARD
from pricing.types import TokenKind

_VENDORED = "second_source.json"
_PREFIX = {
    "anthropic": "",
    "aws": "",
    "azure": "azure/",
    "baseten": "baseten/",
    "cerebras": "cerebras/",
    "cloudflare": "cloudflare/",
    "cohere": "",
    "databricks": "databricks/",
    "deepseek": "deepseek/",
    "fireworks": "fireworks_ai/accounts/fireworks/models/",
    "google": "gemini/",
    "groq": "groq/",
    "minimax": "minimax/",
    "mistral": "mistral/",
    "moonshotai": "moonshot/",
    "novita": "novita/",
    "openai": "",
    "ovhcloud": "ovhcloud/",
    "perplexity": "perplexity/",
    "together": "together_ai/",
    "x-ai": "xai/",
}
_KEY = {
    "input_cost_per_token": TokenKind.INPUT,
    "cache_read_input_token_cost": TokenKind.CACHED_INPUT,
    "cache_creation_input_token_cost": TokenKind.CACHE_WRITE,
    "cache_creation_input_token_cost_above_1hr": TokenKind.CACHE_WRITE_1H,
    "output_cost_per_token": TokenKind.OUTPUT,
}
_RATE = re.compile(rf"({'|'.join(sorted(_KEY, key=len, reverse=True))})(?:_above_(\d+)k_tokens)?(_batches)?")
_FACTS = ("source", "deprecation_date", "off_peak_pricing")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondRates:
    """What the second source says of one model [USD per million tokens], by tier, context tier and token kind."""

    key: str
    usd_per_mtok: Mapping[tuple[str, int, TokenKind], Decimal]
    source_url: str | None
    deprecated_on: date | None
    off_peak: bool
    peak_on_weekdays_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondSource:
    """A price map by somebody else; `copied_on` is None for a file whose age nobody states."""

    name: str
    copied_on: date | None
    models: Mapping[str, Mapping[str, Any]]

    def rates_of(self, matched_model: str) -> SecondRates | None:
        """The entry for one of our "provider/model-id" names, None where this source does not know it."""
        provider, _, model_id = matched_model.partition("/")
        key = f"{_PREFIX.get(provider, provider + '/')}{model_id}"
        entry = self.models.get(key)
        return None if entry is None else _rates(key, entry)


def read_second_source(path: Path | None = None) -> SecondSource:
    """The vendored copy, or a full litellm price map. Raises `InputError` for a file that is neither."""
    try:
        if path is None:
            raw = json.loads((files("pricing") / "data" / _VENDORED).read_text("utf-8"), parse_float=Decimal)
        else:
            raw = json.loads(path.read_text("utf-8"), parse_float=Decimal)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the price map {path}: {error}; give litellm's model price JSON") from None
    if isinstance(raw, dict) and isinstance(raw.get("models"), dict):
        return SecondSource(name=raw["name"], copied_on=date.fromisoformat(raw["copied_on"]), models=raw["models"])
    if isinstance(raw, dict) and any("input_cost_per_token" in v for v in raw.values() if isinstance(v, dict)):
        return SecondSource(name=str(path), copied_on=None, models=raw)
    raise InputError(f"{path} is no litellm price map: no entry has input_cost_per_token")


def trim(full: Mapping[str, Mapping[str, Any]], wanted: set[str]) -> dict[str, dict[str, Any]]:
    """Only the models in `wanted` that are priced per token, and of them only what `SecondRates` reads."""
    return {
        key: {field: value for field, value in entry.items() if field in _FACTS or _RATE.fullmatch(field)}
        for key, entry in sorted(full.items())
        if key in wanted and "input_cost_per_token" in entry
    }


def _rates(key: str, entry: Mapping[str, Any]) -> SecondRates:
    usd_per_mtok: dict[tuple[str, int, TokenKind], Decimal] = {}
    for field, value in entry.items():
        parsed = _RATE.fullmatch(field)
        if parsed and value is not None:
            kind, above, batch = _KEY[parsed[1]], int(parsed[2] or 0) * 1000, parsed[3]
            usd_per_mtok["batch" if batch else STANDARD, above, kind] = Decimal(str(value)) * TOKENS_PER_MTOK
    off_peak = entry.get("off_peak_pricing") or {}
    windows = off_peak.get("windows", ()) if isinstance(off_peak, dict) else ()
    deprecated = entry.get("deprecation_date")
    return SecondRates(
        key=key,
        usd_per_mtok=usd_per_mtok,
        source_url=entry.get("source"),
        deprecated_on=date.fromisoformat(deprecated) if deprecated else None,
        off_peak=bool(off_peak),
        peak_on_weekdays_only=any(isinstance(w, dict) and set(w.get("weekdays", ())) == {6, 7} for w in windows),
    )


def main(arguments: list[str]) -> None:
    """Write the vendored copy to stdout from a full map, its version and the day it was copied."""
    path, name, copied_on = arguments
    full = json.loads(Path(path).read_text("utf-8"))
    wanted = {f"{_PREFIX.get(m.provider, m.provider + '/')}{m.id}" for m in api_models() if m.provider in _PREFIX}
    licence = "MIT, Copyright (c) 2023 Berri AI; full text beside this file"
    document = {"name": name, "copied_on": copied_on, "licence": licence, "models": trim(full, wanted)}
    json.dump(document, sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main(sys.argv[1:])
