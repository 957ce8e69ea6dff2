"""Hosts of open models that the price library lacks, as records of the library's own kind."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from itertools import groupby

from genai_prices.types import ClauseEquals, ModelInfo, ModelPrice, Provider
from pydantic import BaseModel, ConfigDict, Field

from pricing.load import table_rows
from pricing.types import Provenance

TABLE_LAYER = "table"
"""The layer of our own tables beside the library."""

_FILE = "api_hosts.toml"


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9-]+/\S+$")
    input: Decimal = Field(gt=0)
    output: Decimal = Field(gt=0)
    cached_input: Decimal | None = Field(default=None, gt=0)
    context_window: int | None = Field(default=None, gt=0)
    source_url: str = Field(pattern=r"^https?://")
    checked_on: date
    note: str = Field(min_length=1)

    @property
    def provider(self) -> str:
        return self.id.partition("/")[0]

    def record(self) -> ModelInfo:
        model = self.id.partition("/")[2]
        price = ModelPrice(input_mtok=self.input, output_mtok=self.output, cache_read_mtok=self.cached_input)
        return ModelInfo(id=model, match=ClauseEquals(equals=model), prices=price, context_window=self.context_window)


def host_providers() -> tuple[Provider, ...]:
    """Every host of the table with its models."""
    providers = []
    for host, rows in groupby(_rows().values(), key=lambda row: row.provider):
        mine = list(rows)
        providers.append(
            Provider(
                id=host,
                name=host,
                api_pattern=rf"https://api\.{host}\.com",
                pricing_urls=[mine[0].source_url],
                models=[row.record() for row in mine],
            )
        )
    return tuple(providers)


def host_source(matched_model: str) -> Provenance | None:
    """Where the price of a model of the table comes from, None for every other model."""
    row = _rows().get(matched_model)
    if row is None:
        return None
    return Provenance(
        layer=TABLE_LAYER, source=f"{_FILE} {row.id}", source_url=row.source_url, as_of=row.checked_on, note=row.note
    )


def aged() -> list[tuple[date, bool]]:
    """When each row was read; none is a placeholder."""
    return [(row.checked_on, False) for row in _rows().values()]


@cache
def _rows() -> Mapping[str, _Row]:
    return {row.id: row for row in sorted(table_rows(_FILE, "model", _Row), key=lambda row: row.id)}
