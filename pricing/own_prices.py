"""Reads your own price file: rates, discounts, surcharges and commitments, each with its source."""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from planner.errors import InputError, PriceError
from pricing.commitment_offers import with_published_terms
from pricing.commitment_rows import COMMITMENT, MODEL_PATTERN, Rule
from pricing.commitments import Commitment
from pricing.extras import Region, find_region
from pricing.layers import Discount, Layer, OwnRate, PriceLayers, Surcharge
from pricing.library import find_model, snapshot
from pricing.rates import STANDARD
from pricing.types import TokenKind

_KINDS = {kind.replace(" ", "_"): kind for kind in TokenKind if kind is not TokenKind.REQUEST}
_TABLES = ("regions", "rate", "discount", "surcharge", "commitment")
_Usd = Annotated[Decimal, Field(ge=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPrices:
    """The content of one price file."""

    layers: PriceLayers
    commitments: tuple[Commitment, ...]


class _RateRow(Rule):
    layer: Layer = Layer.ORGANISATION
    model: str = Field(pattern=MODEL_PATTERN)
    usd_per_mtok: dict[str, _Usd] = Field(min_length=1)
    tier: str = STANDARD
    above_input_tokens: int = Field(default=0, ge=0)
    context_window: int | None = Field(default=None, gt=0)

    def value(self) -> OwnRate:
        unknown = sorted(set(self.usd_per_mtok) - set(_KINDS))
        if unknown:
            raise ValueError(f"usd_per_mtok has no token kind {', '.join(unknown)}; known are {', '.join(_KINDS)}")
        return OwnRate(
            layer=self.layer,
            model=self.model,
            usd_per_mtok={_KINDS[name]: rate for name, rate in self.usd_per_mtok.items()},
            why=self.why(),
            window=self.window(),
            tier=self.tier,
            above_input_tokens=self.above_input_tokens,
            context_window=self.context_window,
        )


class _DiscountRow(Rule):
    target: str = Field(min_length=1)
    percent: Decimal = Field(gt=0, lt=100)

    def value(self) -> Discount:
        return Discount(target=self.target, percent=self.percent, why=self.why(), window=self.window())


class _SurchargeRow(Rule):
    target: str = Field(min_length=1)
    percent: Decimal = Field(gt=0, le=100)

    def value(self) -> Surcharge:
        return Surcharge(target=self.target, percent=self.percent, why=self.why(), window=self.window())


_RATE: TypeAdapter[_RateRow] = TypeAdapter(_RateRow)
_DISCOUNT: TypeAdapter[_DiscountRow] = TypeAdapter(_DiscountRow)
_SURCHARGE: TypeAdapter[_SurchargeRow] = TypeAdapter(_SurchargeRow)


def read_own_prices(path: Path) -> OwnPrices:
    """Read a TOML file with `[[rate]]`, `[[discount]]`, `[[surcharge]]` and `[[commitment]]` tables and `regions`.

    Numbers are taken as written, without binary rounding. Raises `InputError` with file, table and row.
    """
    try:
        raw = tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)
    except OSError as error:
        raise InputError(f"cannot read the price file {path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is no TOML file: {error}") from None
    unknown = sorted(set(raw) - set(_TABLES))
    if unknown:
        raise InputError(f"{path}: unknown table {', '.join(unknown)}; known are {', '.join(_TABLES)}")
    own = OwnPrices(
        layers=PriceLayers(
            rates=tuple(_values(path, raw, "rate", _RATE)),
            discounts=tuple(_values(path, raw, "discount", _DISCOUNT)),
            surcharges=tuple(_values(path, raw, "surcharge", _SURCHARGE)),
            regions=_regions(path, raw.get("regions", [])),
        ),
        commitments=tuple(_values(path, _with_terms(path, raw), "commitment", COMMITMENT)),
    )
    _refuse_strangers(path, own)
    return own


def _with_terms(path: Path, raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """`raw` with what the tables publish filled into commitments that name an offer or leave out a listed price."""
    entries = []
    for number, entry in enumerate(raw.get("commitment", ()), start=1):
        try:
            entries.append(with_published_terms(entry))
        except (InputError, PriceError) as error:
            raise InputError(f"{path}: commitment {number}: {error}") from None
    return {**raw, "commitment": entries}


def _refuse_strangers(path: Path, own: OwnPrices) -> None:
    """A rule for a provider or model that nobody knows would never apply, and nobody would notice."""
    invented = {rate.model for rate in own.layers.rates}
    known = {provider.id for provider in snapshot().providers} | {model.partition("/")[0] for model in invented}
    targets = [rule.target for rule in own.layers.discounts] + [rule.target for rule in own.layers.surcharges]
    targets += [target for commitment in own.commitments for target in commitment.targets]
    for target in targets:
        provider, _, model = target.partition("/")
        if provider not in known:
            close = difflib.get_close_matches(provider, known, n=3, cutoff=0.5)
            hint = f"; closest: {', '.join(close)}" if close else ""
            raise InputError(f'{path}: target "{target}": there is no provider "{provider}"{hint}')
        if model and target not in invented:
            _refuse_unknown_model(path, target)


def _refuse_unknown_model(path: Path, target: str) -> None:
    try:
        provider, info = find_model(target)
    except PriceError as error:
        raise InputError(f"{path}: target {target}: {error}") from None
    if target != f"{provider.id}/{info.id}":
        raise InputError(f'{path}: target "{target}": write it as {provider.id}/{info.id}, the name it is billed under')


def _regions(path: Path, names: object) -> tuple[Region, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f'{path}: regions must be a list of names such as ["anthropic-us"]')
    try:
        return tuple(find_region(name) for name in dict.fromkeys(names))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _values(path: Path, raw: Mapping[str, Any], table: str, row: TypeAdapter[Any]) -> list[Any]:
    values = []
    for number, entry in enumerate(raw.get(table, ()), start=1):
        try:
            values.append(row.validate_python(entry).value())
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or table
            raise InputError(f"{path}: {table} {number}: {field}: {first['msg']}") from None
        except ValueError as error:
            raise InputError(f"{path}: {table} {number}: {error}") from None
    return values
