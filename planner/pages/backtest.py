"""Page: the plan held against what was really used and paid."""

import re

import streamlit as st

from planner.backtest.bills import Bill, read_bill, read_server_metrics
from planner.backtest.difference import Backtest, backtest, totals
from planner.commands.backtest import backtest_csv
from planner.decision.plan import Plan
from planner.decision.wording import describe
from planner.errors import BreakevenError, InputError
from planner.pages.frame import open_plan
from planner.pages.show import escape, table
from planner.pages.uploads import MAX_BILL_MB, check_size, shown, upload_name

PARTS = ("planned_usd", "volume_usd", "mix_usd", "cache_usd", "price_usd", "actual_usd")
BAD_ROWS_SHOWN = 20
COUNTERS = re.compile(rb"^vllm:", re.MULTILINE)


def read(files: list[tuple[str, bytes]], made: Plan, option: str) -> list[Bill]:
    """The bills in the files, or the one bill that a server's counters stand for. Raises `InputError`."""
    named = []
    for name, content in files:
        check_size(name, content, MAX_BILL_MB)
        named.append((shown(upload_name(name, content)), content))
    metrics = [bool(COUNTERS.search(content)) for _, content in named]
    if not any(metrics):
        return [read_bill(name, content) for name, content in named]
    if not all(metrics):
        raise InputError("bills and server metrics cannot be read together; upload one kind at a time")
    months = sorted({line.period_start[:7] for option in made.options for line in option.lines if line.period_start})
    left, right = st.columns(2)
    month = left.selectbox("Month", months, key="backtest_month", help="The planned month that the counters stand for.")
    hours = right.number_input("Hours", 0.1, 8760.0, 730.0, key="backtest_hours",
                               help="Time over which the counters grew.")  # fmt: skip
    model = next((price.matched_model for price in made.prices if price.model == option), option)
    return [read_server_metrics(named, month=month, hours=hours, model=model)[0]]


def show(result: Backtest, bills: list[Bill]) -> None:
    """The split by month, what could not be read, and the file of it."""
    rows = [
        {"month": month.month, **{name.replace("_usd", " [USD]"): float(getattr(month, name)) for name in PARTS}}
        for month in result.months
    ]
    if len(rows) > 1:
        sums = totals(result)
        rows.append({"month": "total", **{name.replace("_usd", " [USD]"): float(sums[name]) for name in PARTS}})
    table(
        rows,
        says="Planned and actual cost of every month and the difference between them in four parts.",
        decimals={name.replace("_usd", " [USD]"): "%.2f" for name in PARTS},
    )
    st.caption(
        "planned + volume + mix + cache + price = actual. Volume: more or fewer tokens than planned. Mix: other "
        "models, or another share of output. Cache: another part of the input from cache. Price: what was paid."
    )
    for bill in bills:
        st.caption(escape(f"{bill.name}: {bill.format}, {len(bill.lines)} lines"))
    for note in result.notes:
        st.caption(escape(note))
    bad = [{"file": bill.name, "line": one.line, "reason": one.reason} for bill in bills for one in bill.bad_lines]
    if bad:
        st.warning(f"{len(bad)} rows could not be read and are missing above.")
        table(bad[:BAD_ROWS_SHOWN], says="Rows that could not be read, with line and reason.")
    st.download_button(
        "Download backtest.csv", data=backtest_csv(result), file_name="backtest.csv", mime="text/csv",
        on_click="ignore", key="download_backtest", icon=":material/download:",
    )  # fmt: skip


plan = open_plan()
st.header("Back-test")
st.write("After the first month: hold the plan against the bill, and see where the difference comes from.")
buying = [option for option in plan.options if any(line.category == "API" for line in option.lines)]
if not buying:
    st.info("This plan buys no tokens, so there is no bill to hold it against. Add an API model to the scenario.")
    st.stop()
words = {option.id: describe(option) for option in buying}
chosen = st.selectbox(
    "Option of the plan",
    list(words),
    index=list(words).index(plan.best_api.id) if plan.best_api else 0,
    key="backtest_option",
    format_func=words.__getitem__,
    help="What was bought: the bill is compared with this option.",
)
given = st.file_uploader(
    "Bills or server metrics",
    key="backtest_upload",
    accept_multiple_files=True,
    max_upload_size=MAX_BILL_MB,
    help="Usage and cost exports of OpenAI or Anthropic, FOCUS CSV, plain CSV (date, model, input_tokens, "
    "output_tokens, cost_usd), or a vLLM server's metrics as text, of the start and the end.",
)
if not given:
    st.info(
        "Upload the usage or cost export of a planned month: OpenAI's or Anthropic's, a FOCUS CSV, a CSV with date, "
        "model, input_tokens, output_tokens and cost_usd, or the text of a vLLM server's /metrics. It stays in this "
        "session."
    )
    st.stop()
try:
    bills = read([(file.name, file.getvalue()) for file in given], plan, chosen)
    result = backtest(plan, bills, chosen)
except BreakevenError as error:
    st.error(escape(str(error)))
else:
    show(result, bills)
