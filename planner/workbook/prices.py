"""Prices per million tokens, and what they make of one mean request in every month."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.cost.draws import Draws
from planner.cost.options import ApiOption
from planner.cost.schedule import period_start
from planner.decision.plan import Plan
from planner.units import TOKENS_PER_MTOK
from planner.workbook.cells import Book, Look
from planner.workbook.inputs import Inputs

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateCells:
    """Where each kind of token of a model has its tokens and USD per request, by month 1..horizon."""

    tokens_per_request: Mapping[tuple[str, str, int], str]
    usd_per_request: Mapping[tuple[str, str, int], str]


def write_prices(book: Book, plan: Plan, apis: Sequence[ApiOption], inputs: Inputs, mid: Draws) -> RateCells:
    """The price per million tokens of every model, with source and date, and what it makes of every month."""
    prices = book.sheet("Prices", (38, 38, 16, 18, 22, 60, 12))
    prices.text(0, 0, "Prices", Look.TITLE)
    note = "Price of the first month; a change here carries over to all months in proportion, announced changes stay."
    prices.text(1, 0, note, Look.NOTE)
    heads = ("model", "priced as", "kind", "USD per million", "announced changes", "source", "read on")
    prices.heads(3, 0, heads, (3,))
    prices.worksheet.freeze_panes(4, 1)
    rates = book.sheet("Rates", (38, 16, 8, 10, 16))
    rates.text(0, 0, "Tokens and cost of one mean request, by model, kind and month", Look.TITLE)
    levels = apis[0].cached_levels if apis else (0.0,)
    cached = inputs["cached_input_frac"]
    weights = [
        rates.formula(2, 4 + i, _hat(cached, levels, i), w)
        for i, w in enumerate(_hats(levels, float(mid.values["cached_input_frac"][0])))
    ]
    rates.row(2, 0, ("weight of each cached share, from Inputs",), Look.NOTE)
    count = len(levels)
    shares = [f"at {level:.0%} cached" for level in levels]
    rates.heads(3, 0, ("model", "kind", "month", "period"), (2, 3))
    levelled = (
        *(f"tokens per request {share}" for share in shares),
        *(f"price over the first month's {share}" for share in shares),
        *("tokens per request", "USD per request before drift"),
    )
    rates.heads(3, 4, levelled, range(len(levelled)))
    rates.worksheet.set_column(4, 3 + len(levelled), 18)
    rates.worksheet.freeze_panes(4, 4)
    changes = {price.model: price for price in plan.prices}
    row, line = 4, 4
    tokens: dict[tuple[str, str, int], str] = {}
    usd: dict[tuple[str, str, int], str] = {}
    for api in apis:
        for place, kind in enumerate(api.kinds):
            per_mtok = _usd_per_mtok(api, place)
            first = _first_price(per_mtok)
            announced = changes[api.id].changes if api.id in changes else ()
            said = "; ".join(f"{c.from_month}: x {c.factor:.4g}" for c in announced)
            source, as_of = _source(api, place)
            prices.row(line, 0, (api.id, api.matched_model, kind))
            price = prices.number(line, 3, first, Look.INPUT_USD)
            prices.row(line, 4, (said or "none", source, as_of))
            line += 1
            for month in range(1, plan.frame.horizon_months + 1):
                rates.row(row, 0, (api.id, kind))
                rates.number(row, 2, month, Look.COUNT)
                rates.month(row, 3, period_start(plan.scenario.start_month, month), Look.DATE)
                mine, ratio = api.tokens_per_request[place, :, month - 1], np.ones(count)
                if first > 0:
                    ratio = np.where(mine > 0, per_mtok[:, month - 1] / first, 1.0)
                for level in range(count):
                    rates.number(row, 4 + level, float(mine[level]))
                    rates.number(row, 4 + count + level, float(ratio[level]))
                now = np.array(_hats(levels, float(mid.values["cached_input_frac"][0])))
                amounts = [f"{w}*{rates.at(row, 4 + level)}".replace("Rates!", "") for level, w in enumerate(weights)]
                costs = [f"{a}*{rates.at(row, 4 + count + i)}".replace("Rates!", "") for i, a in enumerate(amounts)]
                key = (api.id, kind, month)
                tokens[key] = rates.formula(row, 4 + 2 * count, "+".join(amounts), float(now @ mine))
                cost = float(now @ api.usd_per_request[place, :, month - 1])
                formula = f"({'+'.join(costs)})*{price}/{TOKENS_PER_MTOK}"
                usd[key] = rates.formula(row, 5 + 2 * count, formula, cost, Look.USD_FINE)
                row += 1
    return RateCells(tokens_per_request=tokens, usd_per_request=usd)


def _usd_per_mtok(api: ApiOption, place: int) -> Array:
    tokens, usd = api.tokens_per_request[place], api.usd_per_request[place]
    return np.asarray(np.divide(usd * TOKENS_PER_MTOK, tokens, out=np.zeros_like(usd), where=tokens > 0))


def _first_price(per_mtok: Array) -> float:
    """The price of the first month, at the first cached share at which there are such tokens; 0 for a free kind."""
    return float(next((price for price in per_mtok.T.ravel() if price > 0), 0.0))


def _source(api: ApiOption, place: int) -> tuple[str, str]:
    """The layers behind a rate and the newest date in their words."""
    said = api.basis_by_month[place][0] if api.basis_by_month else f"{api.source} {api.source_url or ''}"
    dates = [word.strip(";,") for word in said.split() if len(word.strip(";,")) == 10 and word[4:5] == "-"]
    return said, max(dates, default="")


def _hats(levels: Sequence[float], at: float) -> list[float]:
    return [float(np.interp(at, levels, hat)) for hat in np.eye(len(levels))]


def _hat(cell: str, levels: Sequence[float], place: int) -> str:
    """Formula for the weight of one level in a linear interpolation; outside the levels the nearest one counts."""
    here = levels[place]
    rising = falling = "1"
    if place > 0:
        below = levels[place - 1]
        rising = f"MAX(0,({cell}-{below!r})/{here - below!r})"
    if place + 1 < len(levels):
        above = levels[place + 1]
        falling = f"MAX(0,({above!r}-{cell})/{above - here!r})"
    return f"MIN(1,{rising},{falling})"
