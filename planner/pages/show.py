"""How the pages show things: text from files made harmless, charts and tables with a description, one palette."""

import re
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

_MARKDOWN = re.compile(r"[\\*_{}\[\]<>#$~|:&]")
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
    st.dataframe(rows, hide_index=True, height="content", column_config=config, alt=says)
