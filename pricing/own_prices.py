"""Reads your own price file: rates, discounts, surcharges and commitments, each with its source."""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from planner.errors import InputError
from pricing.commitments import Commitment, MinimumSpend, PrepaidCredit, ProvisionedUnits
from pricing.extras import Region, find_region
from pricing.layers import Discount, Layer, Note, OwnRate, PriceLayers, Surcharge, Window
from pricing.library import snapshot
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


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(min_length=3)
    as_of: date
    source_url: str | None = Field(default=None, pattern=r"^https?://")
    author: str = ""
    note: str = ""
    from_date: date | None = None
    to_date: date | None = None

    def why(self) -> Note:
        return Note(
            source=self.source, as_of=self.as_of, source_url=self.source_url, author=self.author, note=self.note
        )

    def window(self) -> Window:
        if self.from_date is not None and self.to_date is not None and self.to_date <= self.from_date:
            raise ValueError("to_date must lie after from_date")
        return Window(from_date=self.from_date, to_date=self.to_date)


class _RateRow(_Rule):
    layer: Layer = Layer.ORGANISATION
    model: str = Field(pattern=r"^[^/\s]+/\S+$")
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


class _DiscountRow(_Rule):
    target: str = Field(min_length=1)
    percent: Decimal = Field(gt=0, lt=100)

    def value(self) -> Discount:
        return Discount(target=self.target, percent=self.percent, why=self.why(), window=self.window())


class _SurchargeRow(_Rule):
    target: str = Field(min_length=1)
    percent: Decimal = Field(gt=0, le=100)

    def value(self) -> Surcharge:
        return Surcharge(target=self.target, percent=self.percent, why=self.why(), window=self.window())


class _MinimumRow(_Rule):
    kind: Literal["minimum-spend"]
    id: str
    targets: tuple[str, ...] = Field(min_length=1)
    usd_per_month: Decimal = Field(gt=0)

    def value(self) -> MinimumSpend:
        return MinimumSpend(
            id=self.id, targets=self.targets, usd_per_month=self.usd_per_month, why=self.why(), window=self.window()
        )


class _PrepaidRow(_Rule):
    kind: Literal["prepaid"]
    id: str
    targets: tuple[str, ...] = Field(min_length=1)
    paid_usd: Decimal = Field(gt=0)
    credit_usd: Decimal = Field(gt=0)
    bought_on: date
    expires_on: date

    def value(self) -> PrepaidCredit:
        if self.expires_on <= self.bought_on:
            raise ValueError("expires_on must lie after bought_on")
        return PrepaidCredit(
            id=self.id,
            targets=self.targets,
            paid_usd=self.paid_usd,
            credit_usd=self.credit_usd,
            bought_on=self.bought_on,
            expires_on=self.expires_on,
            why=self.why(),
        )


class _ProvisionedRow(_Rule):
    kind: Literal["provisioned"]
    id: str
    model: str = Field(pattern=r"^[^/\s]+/\S+$")
    units: int = Field(gt=0)
    usd_per_unit_h: Decimal = Field(gt=0)
    tokens_per_min: int = Field(gt=0)
    output_weight: float = Field(gt=0)

    def value(self) -> ProvisionedUnits:
        return ProvisionedUnits(
            id=self.id,
            model=self.model,
            units=self.units,
            usd_per_unit_h=self.usd_per_unit_h,
            tokens_per_min=self.tokens_per_min,
            output_weight=self.output_weight,
            why=self.why(),
            window=self.window(),
        )


_RATE: TypeAdapter[_RateRow] = TypeAdapter(_RateRow)
_DISCOUNT: TypeAdapter[_DiscountRow] = TypeAdapter(_DiscountRow)
_SURCHARGE: TypeAdapter[_SurchargeRow] = TypeAdapter(_SurchargeRow)
CommitmentRow = Annotated[_MinimumRow | _PrepaidRow | _ProvisionedRow, Field(discriminator="kind")]
"""A commitment as a price file and a lock write it."""
_COMMITMENT: TypeAdapter[_MinimumRow | _PrepaidRow | _ProvisionedRow] = TypeAdapter(CommitmentRow)
_KIND_OF = {MinimumSpend: "minimum-spend", PrepaidCredit: "prepaid", ProvisionedUnits: "provisioned"}


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
        commitments=tuple(_values(path, raw, "commitment", _COMMITMENT)),
    )
    _refuse_strangers(path, own)
    return own


def _refuse_strangers(path: Path, own: OwnPrices) -> None:
    """A rule for a provider that nobody knows would never apply, and nobody would notice."""
    known = {provider.id for provider in snapshot().providers} | {r.model.partition("/")[0] for r in own.layers.rates}
    targets = [rule.target for rule in own.layers.discounts] + [rule.target for rule in own.layers.surcharges]
    for commitment in own.commitments:
        targets += [commitment.model] if isinstance(commitment, ProvisionedUnits) else commitment.targets
    for target in targets:
        provider = target.partition("/")[0]
        if provider not in known:
            close = difflib.get_close_matches(provider, known, n=3, cutoff=0.5)
            hint = f"; closest: {', '.join(close)}" if close else ""
            raise InputError(f'{path}: target "{target}": there is no provider "{provider}"{hint}')


def _regions(path: Path, names: object) -> tuple[Region, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f'{path}: regions must be a list of names such as ["anthropic-us"]')
    try:
        return tuple(find_region(name) for name in dict.fromkeys(names))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def commitment_row(commitment: Commitment) -> dict[str, Any]:
    """The commitment as JSON can hold it; `CommitmentRow` reads it back to an equal one."""
    fields = asdict(commitment)
    flat = {"kind": _KIND_OF[type(commitment)], **fields, **fields["why"], **fields.get("window", {})}
    row = _COMMITMENT.validate_python({key: value for key, value in flat.items() if key not in ("why", "window")})
    return row.model_dump(mode="json", exclude_none=True)


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
