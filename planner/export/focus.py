"""The schedule as rows in the shape of FOCUS 1.2, so that the tools that read cloud bills can read a forecast.

BilledCost is the cash view and EffectiveCost the P&L view of the same line: a purchase is billed in full and has no
effective cost, its depreciation is effective and not billed. A forecast is no bill and FOCUS has no charge category for
one, so every row carries `x_IsForecast`; nothing here claims conformance. Source: FOCUS 1.2,
https://focus.finops.org/focus-specification/v1-2/ (CC-BY-4.0).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from planner.cells import rounded
from planner.cost.options import RentOption
from planner.cost.schedule import CostLine
from planner.decision.plan import OptionResult, Plan

COLUMNS = (
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd"),
    *("BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency"),
    *("ChargePeriodEnd", "ChargePeriodStart", "CommitmentDiscountStatus", "ConsumedQuantity", "ConsumedUnit"),
    *("ContractedCost", "ContractedUnitPrice", "EffectiveCost", "InvoiceId", "InvoiceIssuerName", "ListCost"),
    *("ListUnitPrice", "PricingCategory", "PricingCurrency", "PricingCurrencyContractedUnitPrice"),
    *("PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice", "PricingQuantity", "PricingUnit"),
    *("ProviderName", "PublisherName", "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuMeter"),
    *("SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName", "Tags"),
    *("x_IsForecast", "x_Scenario", "x_Option", "x_OptionKind", "x_OptionRank", "x_Model", "x_Month", "x_CostCategory"),
    *("x_PriceSource", "x_PriceAsOf"),
)

_QUANTITY_DECIMALS = 6
_PRICE_DECIMALS = 12
_CENT_OF_CENT = Decimal("0.0001")
_ZERO = Decimal(0)
_ISO_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
_OWN = "Own organisation"


class _Charge(StrEnum):
    USAGE = "Usage"
    PURCHASE = "Purchase"
    CREDIT = "Credit"
    ADJUSTMENT = "Adjustment"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Service:
    category: str
    subcategory: str
    name: str
    charge: _Charge
    frequency: str


_SERVICES = {
    "API": _Service(
        category="AI and Machine Learning",
        subcategory="Generative AI",
        name="LLM API",
        charge=_Charge.USAGE,
        frequency="Usage-Based",
    ),
    "rent": _Service(
        category="Compute",
        subcategory="Virtual Machines",
        name="Rented machines",
        charge=_Charge.USAGE,
        frequency="Usage-Based",
    ),
    "purchase": _Service(
        category="Compute",
        subcategory="Other (Compute)",
        name="Owned machines",
        charge=_Charge.PURCHASE,
        frequency="One-Time",
    ),
    "resale": _Service(
        category="Compute",
        subcategory="Other (Compute)",
        name="Owned machines",
        charge=_Charge.CREDIT,
        frequency="One-Time",
    ),
    "depreciation": _Service(
        category="Compute",
        subcategory="Other (Compute)",
        name="Owned machines",
        charge=_Charge.USAGE,
        frequency="Recurring",
    ),
    "commitment": _Service(
        category="AI and Machine Learning",
        subcategory="Generative AI",
        name="LLM API commitment",
        charge=_Charge.ADJUSTMENT,
        frequency="Recurring",
    ),
}
_OTHER = _Service(
    category="Other", subcategory="Other (Other)", name="Operation", charge=_Charge.USAGE, frequency="Recurring"
)

_UNITS = {
    "million tokens": ("1000000 Tokens", "Tokens", 1_000_000),
    "million requests": ("1000000 Requests", "Requests", 1_000_000),
    "machine-hours": ("Machine-Hours", "Machine-Hours", 1),
    "kWh": ("kWh", "kWh", 1),
    "kW-months": ("kW-Months", "kW-Months", 1),
    "FTE-months": ("FTE-Months", "FTE-Months", 1),
}
"""Unit of a cost line -> pricing unit and consumed unit as FOCUS writes them, and how many of the latter make one."""


def focus_rows(plan: Plan) -> Iterator[tuple[object, ...]]:
    """One row per cost line, in the order of `COLUMNS`; costs are `Decimal`, ListCost exactly price times quantity.

    All options stand in the file: keep one value of `x_Option` (`x_OptionRank` 1 is the cheapest) before adding up.
    """
    providers = {option.id: option.offer.provider for option in plan.modelled if isinstance(option, RentOption)}
    as_of = {assumption.name: assumption.as_of for assumption in plan.assumptions}
    for rank, option in enumerate(plan.options, start=1):
        for line in option.lines:
            row = _row(plan, option, rank, line, _provider(line, providers), _price_date(line, as_of))
            yield tuple(row.get(column) for column in COLUMNS)


def _row(
    plan: Plan, option: OptionResult, rank: int, line: CostLine, provider: str, as_of: str
) -> Mapping[str, object]:
    quantity, price = rounded(line.quantity, _QUANTITY_DECIMALS), rounded(line.unit_price_usd, _PRICE_DECIMALS)
    if price < 0:
        quantity, price = -quantity, -price
    listed = quantity * price
    effective = _share(line.pnl_usd, listed)
    service = _SERVICES.get(line.category, _OTHER)
    charge = _Charge.CREDIT if listed < 0 else service.charge
    frequency = service.frequency
    start, end = _period(line.period_start)
    pricing_unit, consumed_unit, per_unit = _UNITS.get(line.unit, (line.unit.title(), line.unit.title(), 1))
    is_usage = charge is _Charge.USAGE
    model = line.basis.partition(";")[0].partition(",")[0] if line.category == "API" else None
    sku = model or line.item
    return {
        "BilledCost": _share(line.cash_usd, listed),
        "BillingAccountId": "forecast",
        "BillingAccountName": plan.scenario.name,
        "BillingCurrency": plan.scenario.currency,
        "BillingPeriodEnd": end,
        "BillingPeriodStart": start,
        "ChargeCategory": charge.value,
        "ChargeDescription": f"{line.item} ({line.category})",
        "ChargeFrequency": frequency,
        "ChargePeriodEnd": end,
        "ChargePeriodStart": start,
        "ConsumedQuantity": quantity * per_unit if is_usage else None,
        "ConsumedUnit": consumed_unit if is_usage else None,
        "ContractedCost": listed,
        "ContractedUnitPrice": price,
        "EffectiveCost": effective,
        "InvoiceIssuerName": provider,
        "ListCost": listed,
        "ListUnitPrice": price,
        "PricingCategory": "Standard",
        "PricingCurrency": plan.scenario.currency,
        "PricingCurrencyContractedUnitPrice": price,
        "PricingCurrencyEffectiveCost": effective,
        "PricingCurrencyListUnitPrice": price,
        "PricingQuantity": quantity,
        "PricingUnit": pricing_unit,
        "ProviderName": provider,
        "PublisherName": provider,
        "ServiceCategory": service.category,
        "ServiceName": service.name,
        "ServiceSubcategory": service.subcategory,
        "SkuId": sku,
        "SkuMeter": line.item,
        "SkuPriceId": f"{sku}/{line.item}",
        "SubAccountId": option.id,
        "SubAccountName": option.id,
        "x_IsForecast": True,
        "x_Scenario": plan.scenario.name,
        "x_Option": option.id,
        "x_OptionKind": option.kind.value,
        "x_OptionRank": rank,
        "x_Model": model,
        "x_Month": line.month,
        "x_CostCategory": line.category,
        "x_PriceSource": line.basis,
        "x_PriceAsOf": as_of or None,
    }


def _share(amount_usd: float, listed: Decimal) -> Decimal:
    """All or nothing of the list cost where the amount says so, so that no second rounding enters; else the amount."""
    exact = rounded(amount_usd, _QUANTITY_DECIMALS)
    return next((value for value in (listed, _ZERO, -listed) if abs(exact - value) <= _CENT_OF_CENT), exact)


def _provider(line: CostLine, providers: Mapping[str, str]) -> str:
    if line.category == "API":
        return line.basis.partition("/")[0]
    if line.category in ("rent", "exit"):
        return providers.get(line.basis.partition("/usd_per_h")[0], _OWN)
    return _OWN


def _price_date(line: CostLine, as_of: Mapping[str, str]) -> str:
    """The date in the basis itself, else the oldest of the assumptions that it names; empty where none has one."""
    if written := _ISO_DATE.findall(line.basis):
        return str(max(written))
    offer = line.basis.partition("/")[0]
    named = (part.strip() for part in line.basis.split(","))
    dates = (as_of.get(name) or as_of.get(f"{offer}/{name}", "") for name in named)
    return min(filter(None, dates), default="")


def _period(first_day: str) -> tuple[str, str]:
    """First and following first instant of a month, ISO 8601 in UTC."""
    start = date.fromisoformat(first_day)
    end = date(start.year + start.month // 12, start.month % 12 + 1, 1)
    return f"{start.isoformat()}T00:00:00Z", f"{end.isoformat()}T00:00:00Z"
