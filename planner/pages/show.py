"""How the pages show things: text from files made harmless, charts and tables with a description, one palette."""

import re
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

_MARKDOWN = re.compile(r"[\\*_{}\[\]<>#$~|:&]")
_PHONE_PX = 640
_CHART = {"displaylogo": False, "modeBarButtonsToRemove": ["lasso2d", "select2d"]}


def escape(text: str) -> str:
    """Text from files, safe for Markdown: a name must not become a link, `$` no formula. Paired code marks stay.

    >>> escape("a_b costs $2: run `do a_b`")
    'a\\\\_b costs \\\\$2\\\\: run `do a_b`'
    """
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return _MARKDOWN.sub(r"\\\g<0>", text.replace("`", "'"))
    return "`".join(part if index % 2 else _MARKDOWN.sub(r"\\\g<0>", part) for index, part in enumerate(parts))


def chart(figure: go.Figure, key: str, says: str) -> None:
    """Draw a figure; `says` describes it to those who cannot see it."""
    st.plotly_chart(figure, key=key, config=_CHART, alt=says)


def table(
    rows: Sequence[dict[str, Any]], *, says: str, decimals: dict[str, str] | None = None, links: Sequence[str] = ()
) -> None:
    """Draw rows as a table that sorts; `decimals` gives columns of numbers their format, `says` describes it."""
    config: dict[str, Any] = {
        name: st.column_config.NumberColumn(format=shape) for name, shape in (decimals or {}).items()
    }
    config |= {name: st.column_config.LinkColumn() for name in links}
    for name in list(rows[0])[:1] if rows else ():
        config.setdefault(name, st.column_config.Column(pinned=True))  # a row keeps its name when the table scrolls
    st.dataframe(rows, hide_index=True, height="content", column_config=config, alt=says)


def on_a_phone(rows: Sequence[dict[str, str]], key: str) -> None:
    """Draw a few columns as text that wraps, on narrow screens only; the whole table comes below it.

    Streamlit does not know how wide a screen is, so the style sheet decides which of them sees it.
    """
    names = list(rows[0]) if rows else []
    lines = [names, ["---"] * len(names), *([escape(row[name]) for name in names] for row in rows)]
    box = f"narrow_{key}"
    st.html(
        f"<style>.st-key-{box} {{display: none}} @media (max-width: {_PHONE_PX}px) {{.st-key-{box} {{display: flex}} "
        f".st-key-{box} td:first-child {{overflow-wrap: anywhere}} "
        f".st-key-{box} :is(th, td):not(:first-child) {{white-space: nowrap}}}}</style>"
    )
    with st.container(key=box):
        st.markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))
        st.caption("All columns: the table below scrolls sideways.")
