"""Bills with commitments at other volumes: what is left to pay month by month, one row per volume of the search."""

from collections.abc import Sequence

from planner.analysis.breakeven import VOLUME
from planner.cost.draws import each_at
from planner.cost.ledger import ledger
from planner.cost.options import ApiOption
from planner.workbook.cells import Book, Look, Sheet
from planner.workbook.commitments import Bill, by_expiry, carried_share, free_share, in_force, tokens_in_hours, usable
from planner.workbook.schedule import ApiRows, Block
from planner.workbook.shared import Context
from planner.workbook.weights import Weights
from pricing.commitments import FreeQuota, MinimumSpend, ProvisionedUnits

HEAD_ROW = 7  # as on the break-even sheet, whose rows these are


class CommittedBills:
    """The sheet of the models with commitments; its rows are those of the break-even sheet."""

    def __init__(self, book: Book, ctx: Context, weights: Weights, blocks: Sequence[Block]) -> None:
        self.ctx, self.weights = ctx, weights
        self.horizon = ctx.rows.horizon
        self.blocks = {block.option.id: block for block in blocks if isinstance(block.option, ApiOption)}
        self.fixed = {name: weights.fixed(block, ()) for name, block in self.blocks.items()}
        if not blocks:
            return
        self.sheet: Sheet = book.sheet("Bills", (22, 16), pages_wide=0)
        self.sheet.text(0, 0, "Bills with commitments at every volume of the break-even sheet", Look.TITLE)
        note = "Owed per token after units and free tokens, then what each prepaid credit pays of it, month by month."
        self.sheet.text(1, 0, note, Look.NOTE)
        self.sheet.text(HEAD_ROW, 0, "requests per day (first month)", Look.HEAD_NUMBER)
        self.sheet.worksheet.freeze_panes(HEAD_ROW + 1, 1)
        self.columns: dict[tuple[str, str], int] = {}
        column = 1
        for name, block in self.blocks.items():
            for what in ("", *(credit.id for credit in by_expiry(_api(block)))):
                self.columns[name, what] = column
                said = f"{what or 'owed per token'}: {name}"
                heads = [f"{said}, month {m}" for m in range(1, self.horizon + 1)]
                self.sheet.heads(HEAD_ROW, column, heads, range(self.horizon))
                column += self.horizon
        self.sheet.worksheet.set_column(1, column, 16)

    def write(self, row: int, volume: str, requests_per_day: float) -> None:
        """The bills of all models with commitments at the volume of one row."""
        if self.blocks:
            self.sheet.formula(row, 0, volume, requests_per_day)
        for name, block in self.blocks.items():
            self._write(row, self.sheet.at(row, 0), requests_per_day, name, block)

    def cost(self, name: str, row: int) -> str:
        """Formula: the levelised cost of a model at the volume of a row."""
        ctx, bill, terms = self.ctx, _bill(self.blocks[name]), self.ctx.terms
        months, discount = (self._span(place) for place in (ctx.shared.months, ctx.shared.discount))
        spent = "+".join([self._months(row, name, ""), *(self._span(place) for place in bill.fixed)])
        owed = f"({spent})"
        api = _api(self.blocks[name])
        assert api.promises is not None
        for minimum in (c for c in api.promises.commitments if isinstance(c, MinimumSpend)):
            missing = f"({terms[minimum.id, 'minimum']}-({spent}))"
            owed += f"+{in_force(ctx, minimum.id, months)}*({missing}>0)*{missing}"
        cost = f"SUMPRODUCT({discount}*({owed}))*{self.weights.kept}"
        for credit in by_expiry(api):
            paid, worth, first, last = (
                terms[credit.id, term] for term in ("paid", "credit", "bought in month", "expires at the end of month")
            )
            used = self._months(row, name, credit.id)
            in_cash = f"SUMPRODUCT({discount}*({months}={first}))*{paid}-SUMPRODUCT({discount}*{used})"
            borne = (
                f"SUMPRODUCT({discount}*{used})*({paid}/{worth}-1)"
                f"+SUMPRODUCT({discount}*({months}={last}))*({worth}-SUM({used}))*{paid}/{worth}"
            )
            cost += f"+{in_cash}-{ctx.inputs['tax_frac']}*({borne})"
        return f"({cost}+{self.fixed[name]})/{self.weights.annuity}"

    def _write(self, row: int, volume: str, requests_per_day: float, name: str, block: Block) -> None:
        ctx, api, bill = self.ctx, _api(block), _bill(block)
        assert api.promises is not None
        entries = ledger(api, ctx.plan.frame, each_at(ctx.mid, VOLUME, [requests_per_day]))
        carriers = [e for e in entries if e.item.startswith(("tokens carried by ", "free tokens of "))]
        left = sum(e.cash_usd[0] for e in entries if e.category == "API") + sum(e.cash_usd[0] for e in carriers)
        volume, week = volume.replace("Bills!", ""), ctx.workload.week
        scale = f"{volume}/{ctx.inputs[VOLUME]}"
        for m in range(1, self.horizon + 1):
            month = self._at(ctx.shared.months, m)
            requests = f"({self._at(ctx.shared.rate, m)}*{scale}*{week.weights})"
            rest, free = "1", ""
            for c in api.promises.commitments:
                if not isinstance(c, ProvisionedUnits | FreeQuota):
                    continue
                tokens = tokens_in_hours(requests, self._at(bill.tokens[c.id], m))
                held = in_force(ctx, c.id, month)
                if isinstance(c, ProvisionedUnits):
                    rest += f"-{held}*{carried_share(ctx, c.id, tokens, week.hours)}"
                else:
                    free += f"*(1-{held}*{free_share(ctx, c.id, tokens, week.hours)})"
            formula = f"{self._at(bill.usage, m)}*{scale}*({rest}){free}"
            self.sheet.formula(row, self.columns[name, ""] + m - 1, formula, float(left[m]), Look.USD)
        earlier: list[int] = []
        for credit in by_expiry(api):
            used = next(e.quantity[0] for e in entries if e.item == f"usage paid from {credit.id}")
            first = self.columns[name, credit.id]
            for m in range(1, self.horizon + 1):
                unpaid = "-".join(self._cell(row, at + m - 1) for at in (self.columns[name, ""], *earlier))
                before = f"-SUM({self._cell(row, first)}:{self._cell(row, first + m - 2)})" if m > 1 else ""
                held = usable(ctx, credit.id, self._at(ctx.shared.months, m))
                formula = f"{held}*MIN({unpaid},{ctx.terms[credit.id, 'credit']}{before})"
                self.sheet.formula(row, first + m - 1, formula, float(used[m]), Look.USD)
            earlier.append(first)

    def _cell(self, row: int, column: int) -> str:
        return self.sheet.at(row, column).replace("Bills!", "")

    def _months(self, row: int, name: str, what: str) -> str:
        first = self.columns[name, what]
        return self.sheet.span(row, first, row, first + self.horizon - 1)

    def _span(self, row: int) -> str:
        return self.ctx.rows.months(row, 1, self.horizon)

    def _at(self, row: int, month: int) -> str:
        return f"Schedule!{self.ctx.cell(row, month)}"


def _api(block: Block) -> ApiOption:
    assert isinstance(block.option, ApiOption)
    return block.option


def _bill(block: Block) -> Bill:
    assert isinstance(block.alone, ApiRows)
    assert block.alone.bill is not None
    return block.alone.bill
