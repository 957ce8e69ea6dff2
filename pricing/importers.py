"""Machines from elsewhere: a SkyPilot catalogue file, and quotes in a plain CSV.

Both refuse what cannot be true. A catalogue is somebody else's file with thousands of rows: bad rows are left out and
listed by line. Quotes are your own: the first bad row stops.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from planner.errors import InputError, PriceError, reason_of
from planner.ranges import Range, certain
from planner.units import WATTS_PER_KILOWATT
from pricing.hardware import find_accelerator
from pricing.types import PurchaseOffer, RentalOffer, Term

_CHEAPEST_USD_PER_KWH = 0.03
_DEAREST_USD_PER_CARD_H = 100.0
_CHEAPEST_USD_PER_VCPU_H = 0.0005
_CATALOGUE_COLUMNS = frozenset({"InstanceType", "AcceleratorName", "AcceleratorCount", "vCPUs", "MemoryGiB", "Price"})
_QUOTE_COLUMNS = (
    "id",
    "kind",
    "name",
    "provider",
    "cores",
    "ram_gib",
    "accelerator",
    "accelerators",
    "currency",
    "price_low",
    "price_mid",
    "price_high",
    "source",
    "quoted_on",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A row that was left out, and why."""

    line: int
    what: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedOffers:
    """What a file gave."""

    rentals: tuple[RentalOffer, ...]
    purchases: tuple[PurchaseOffer, ...]
    refused: tuple[Refused, ...]


def read_skypilot(path: Path, provider: str, checked_on: date) -> ImportedOffers:
    """Rentals from a SkyPilot `vms.csv` (prices in USD per hour), one on-demand and one spot offer per type and region.

    The spot price of a region is the range over its zones. Refused, and listed: rows without an instance type (the
    price of a card without its host), unknown cards, prices that cannot pay the card's own electricity (below
    0.03 USD per kWh of board power, as 0.01 USD per hour for a B200) or above 100 USD per card and hour.
    Raises `InputError` for a file without the columns.
    """
    offers: dict[tuple[str, str, Term], tuple[dict[str, Any], list[float]]] = {}
    refused: list[Refused] = []
    for line, row in _csv_rows(path, _CATALOGUE_COLUMNS):
        what = row["InstanceType"] or row["AcceleratorName"] or "empty row"
        try:
            facts = _catalogue_facts(row)
            for term, column in ((Term.ON_DEMAND, "Price"), (Term.SPOT, "SpotPrice")):
                if row.get(column):
                    price = _number(row[column], column)
                    _refuse_impossible(price, facts)
                    key = (row["InstanceType"], row.get("Region") or "any", term)
                    offers.setdefault(key, (facts, []))[1].append(price)
        except (InputError, PriceError) as error:
            refused.append(Refused(line=line, what=what, reason=str(error)))
    rentals = tuple(
        RentalOffer(
            id="-".join(part.lower().replace("_", "-") for part in (provider, name, region, term)),
            name=name,
            provider=provider,
            region=region,
            term=term,
            usd_per_h=Range(low=min(prices), mid=sorted(prices)[len(prices) // 2], high=max(prices)),
            source_url=path.name,
            checked_on=checked_on,
            note="imported from a SkyPilot catalogue",
            **facts,
        )
        for (name, region, term), (facts, prices) in offers.items()
    )
    return ImportedOffers(rentals=rentals, purchases=(), refused=tuple(refused))


def read_quotes(path: Path) -> ImportedOffers:
    """Your own quotes, one row each.

    Columns: id, kind (rental: price per hour; purchase: price of the machine), name, provider, cores, ram_gib,
    accelerator, accelerators, currency (USD), price_low, price_mid, price_high, source, quoted_on; for a purchase also
    idle_w, loaded_w, life_years, residual_frac; for a rental optionally region, term and min_term_months; note.
    Raises `InputError` with file and line at the first row that cannot be.
    """
    rentals: list[RentalOffer] = []
    purchases: list[PurchaseOffer] = []
    seen: set[str] = set()
    for line, row in _csv_rows(path, frozenset(_QUOTE_COLUMNS)):
        try:
            if row["id"] in seen or not row["id"]:
                raise InputError(f'id "{row["id"]}" is empty or appears twice')
            seen.add(row["id"])
            if row["currency"] != "USD":
                raise InputError(
                    f'currency "{row["currency"]}": prices must be in USD; convert at the rate of the quote'
                )
            if row["kind"] == "rental":
                rentals.append(_quoted_rental(row))
            elif row["kind"] == "purchase":
                purchases.append(_quoted_purchase(row))
            else:
                raise InputError(f'kind "{row["kind"]}" is neither rental nor purchase')
        except (InputError, PriceError, ValueError) as error:
            raise InputError(f"{path}, line {line}: {error}") from None
    return ImportedOffers(rentals=tuple(rentals), purchases=tuple(purchases), refused=())


def _csv_rows(path: Path, needed: frozenset[str]) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = sorted(needed - set(reader.fieldnames or ()))
            if missing:
                raise InputError(f"{path} has no column {', '.join(missing)}")
            for row in reader:
                yield reader.line_num, {key: (value or "").strip() for key, value in row.items() if key is not None}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {path}: {reason_of(error)}") from None


def _catalogue_facts(row: Mapping[str, str]) -> dict[str, Any]:
    if not row["InstanceType"]:
        raise InputError("no instance type: this is the price of a card without its host")
    card = find_accelerator(row["AcceleratorName"]) if row["AcceleratorName"] else None
    return {
        "vcpus": int(_number(row["vCPUs"], "vCPUs")),
        "ram_gib": _number(row["MemoryGiB"], "MemoryGiB"),
        "accelerator": None if card is None else card.id,
        "accelerators": 0 if card is None else int(_number(row["AcceleratorCount"], "AcceleratorCount")),
    }


def _refuse_impossible(usd_per_h: float, facts: Mapping[str, Any]) -> None:
    count = facts["accelerators"]
    if facts["accelerator"] is None:
        if usd_per_h < _CHEAPEST_USD_PER_VCPU_H * facts["vcpus"]:
            raise PriceError(f"{usd_per_h:g} USD per hour for {facts['vcpus']} vCPUs cannot be true")
        return
    card = find_accelerator(facts["accelerator"])
    electricity = card.board_w / WATTS_PER_KILOWATT * _CHEAPEST_USD_PER_KWH
    if usd_per_h < electricity * count:
        raise PriceError(
            f"{usd_per_h:g} USD per hour for {count} x {card.name} cannot be true: "
            f"it would not pay the cards' electricity of {electricity * count:.3f} USD"
        )
    if usd_per_h > _DEAREST_USD_PER_CARD_H * count:
        raise PriceError(f"{usd_per_h:g} USD per hour for {count} x {card.name} cannot be true: above 100 USD per card")


def _quoted_rental(row: Mapping[str, str]) -> RentalOffer:
    facts = {"vcpus": int(_number(row["cores"], "cores")), **_card(row)}
    price = _price(row)
    _refuse_impossible(price.low, facts)
    _refuse_impossible(price.high, facts)
    return RentalOffer(
        id=row["id"],
        name=row["name"],
        provider=row["provider"],
        region=row.get("region") or "any",
        ram_gib=_number(row["ram_gib"], "ram_gib"),
        term=Term(row.get("term") or Term.ON_DEMAND),
        min_term_months=int(row.get("min_term_months") or 0),
        usd_per_h=price,
        source_url=_source(row),
        checked_on=date.fromisoformat(row["quoted_on"]),
        note=row.get("note", ""),
        **facts,
    )


def _quoted_purchase(row: Mapping[str, str]) -> PurchaseOffer:
    needed = {name: _number(row.get(name, ""), name) for name in ("idle_w", "loaded_w", "life_years")}
    facts = _card(row)
    if needed["idle_w"] > needed["loaded_w"]:
        raise InputError("idle_w is above loaded_w")
    if facts["accelerator"] is not None:
        card = find_accelerator(facts["accelerator"])
        if needed["loaded_w"] < needed["idle_w"] + 0.1 * card.board_w * facts["accelerators"]:
            raise InputError(f"loaded_w is too low for {facts['accelerators']} x {card.name} of {card.board_w:g} W")
    residual = float(row.get("residual_frac") or 0)
    if not 0 <= residual < 1:
        raise InputError(f"residual_frac must lie between 0 and 1, got {residual:g}")
    return PurchaseOffer(
        id=row["id"],
        name=row["name"],
        cpu_cores=int(_number(row["cores"], "cores")),
        ram_gib=_number(row["ram_gib"], "ram_gib"),
        price_usd=_price(row),
        idle_w=certain(needed["idle_w"]),
        loaded_w=certain(needed["loaded_w"]),
        life_years=certain(needed["life_years"]),
        residual_frac=certain(residual),
        source_url=_source(row),
        checked_on=date.fromisoformat(row["quoted_on"]),
        note=row.get("note", ""),
        **facts,
    )


def _card(row: Mapping[str, str]) -> dict[str, Any]:
    if not row["accelerator"]:
        return {"accelerator": None, "accelerators": 0}
    count = int(_number(row["accelerators"], "accelerators"))
    return {"accelerator": find_accelerator(row["accelerator"]).id, "accelerators": count}


def _price(row: Mapping[str, str]) -> Range:
    low, mid, high = (_number(row[name], name) for name in ("price_low", "price_mid", "price_high"))
    return Range(low=low, mid=mid, high=high)


def _source(row: Mapping[str, str]) -> str:
    if not row["source"]:
        raise InputError("source is empty: say which document the price stands in")
    return row["source"]


def _number(text: str, column: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise InputError(f'{column} is no number: "{text}"') from None
    if not 0 < value < float("inf"):
        raise InputError(f"{column} must be above 0, got {text}")
    return value
