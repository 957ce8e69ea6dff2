"""The lock on disk: `prices.lock.json`, rates as decimal text, the same bytes for the same content."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from planner.errors import InputError
from pricing.commitment_rows import CommitmentRow, commitment_row
from pricing.lock import LockedModel, LockedPeriod, PriceLock
from pricing.rates import TierRates, with_fallbacks
from pricing.types import Provenance, TokenKind


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Source(_Strict):
    layer: str
    source: str
    source_url: str | None
    as_of: date | None
    note: str


class _Tier(_Strict):
    above_input_tokens: int = Field(ge=0)
    up_to_input_tokens: int | None
    usd_per_mtok: dict[TokenKind, Decimal]
    why: dict[TokenKind, tuple[Annotated[int, Field(ge=0)], ...]] = {}


class _Period(_Strict):
    days: tuple[date, ...] = Field(min_length=1)
    context_window: int | None
    tiers: tuple[_Tier, ...] = Field(min_length=1)
    provenance: tuple[_Source, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _known(self) -> Self:
        if any(n >= len(self.provenance) for tier in self.tiers for said in tier.why.values() for n in said):
            raise ValueError("why points at a source that is not in provenance")
        return self


class _Model(_Strict):
    model: str
    matched_model: str
    tier: str
    hourly_share: tuple[float, ...] | None
    periods: tuple[_Period, ...] = Field(min_length=1)


class _Lock(_Strict):
    schema_version: Literal[1]
    created_on: date
    models: tuple[_Model, ...]
    commitments: tuple[CommitmentRow, ...] = ()


def lock_text(lock: PriceLock) -> str:
    """The lock as JSON text."""
    document: dict[str, Any] = {
        "schema_version": 1,
        "created_on": lock.created_on.isoformat(),
        "models": [
            {
                "model": entry.model,
                "matched_model": entry.matched_model,
                "tier": entry.tier,
                "hourly_share": entry.hourly_share,
                "periods": [_period(period) for period in entry.periods],
            }
            for entry in lock.models
        ],
    }
    if lock.commitments:
        document["commitments"] = [commitment_row(commitment) for commitment in lock.commitments]
    return json.dumps(document, indent=1) + "\n"


def write_lock(lock: PriceLock, path: Path) -> None:
    """Write the lock; an existing file is replaced only when the new one is complete."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(lock_text(lock), "utf-8")
    partial.replace(path)


def read_lock(path: Path) -> PriceLock:
    """Read a lock. Raises `InputError` for a file that is none."""
    try:
        raw = _Lock.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read the price lock {path}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "file"
        raise InputError(f"{path} is no price lock: {place}: {first['msg']}") from None
    return PriceLock(
        created_on=raw.created_on,
        models=tuple(
            LockedModel(
                model=entry.model,
                matched_model=entry.matched_model,
                tier=entry.tier,
                hourly_share=entry.hourly_share,
                periods=tuple(_locked_period(period) for period in entry.periods),
            )
            for entry in raw.models
        ),
        commitments=tuple(row.value() for row in raw.commitments),
    )


def _period(period: LockedPeriod) -> dict[str, Any]:
    return {
        "days": [day.isoformat() for day in period.days],
        "context_window": period.context_window,
        "tiers": [
            {
                "above_input_tokens": tier.above_input_tokens,
                "up_to_input_tokens": tier.up_to_input_tokens,
                "usd_per_mtok": {kind: str(tier.usd_per_mtok[kind]) for kind in TokenKind if kind in tier.own},
                "why": {
                    kind: [period.provenance.index(said) for said in tier.why[kind]]
                    for kind in TokenKind
                    if kind in tier.why
                },
            }
            for tier in period.tiers
        ],
        "provenance": [
            {
                "layer": source.layer,
                "source": source.source,
                "source_url": source.source_url,
                "as_of": None if source.as_of is None else source.as_of.isoformat(),
                "note": source.note,
            }
            for source in period.provenance
        ],
    }


def _locked_period(period: _Period) -> LockedPeriod:
    provenance = tuple(Provenance(**source.model_dump()) for source in period.provenance)
    tiers = tuple(
        TierRates(
            above_input_tokens=tier.above_input_tokens,
            up_to_input_tokens=tier.up_to_input_tokens,
            usd_per_mtok=with_fallbacks(tier.usd_per_mtok),
            own=frozenset(tier.usd_per_mtok),
            why={kind: tuple(provenance[n] for n in said) for kind, said in tier.why.items()},
        )
        for tier in period.tiers
    )
    return LockedPeriod(days=period.days, context_window=period.context_window, tiers=tiers, provenance=provenance)
