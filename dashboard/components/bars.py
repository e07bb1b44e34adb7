"""Numbers with intervals against chance, as lines that can be clicked (bars/bars.js).

Charts that stand below each other are one component: a page is drawn anew at every click, and each further component
costs about as much as all its lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from dashboard import errors
from dashboard.browse.charts import Chart, Line
from dashboard.components.source import joined

__all__ = ["Chart", "Line", "Sheet", "bars", "charts"]

_bars = st.components.v2.component(
    "loupe_bars", css=joined("bars", "bars.css"), js=joined("bars", "../dom.js", "bars.js")
)


def charts(drawn: list[Chart], *, key: str) -> tuple[Chart, str] | None:
    """Draw charts below each other; the one of which a line was clicked, and the id of the line, or None."""
    answer = _bars(key=key, data={"charts": [chart.data() for chart in drawn]}, on_open_change=lambda: None)
    opened = answer.get("open")
    if not isinstance(opened, dict):
        return None
    chart = next((c for c in drawn if c.label == opened.get("chart")), None)
    id = opened.get("id")
    known = chart is not None and any(line.id == id for line in chart.lines if line.id is not None)
    return (chart, id) if known else None


def bars(lines: list[Line], *, key: str, label: str, **look: object) -> str | None:
    """Draw one chart (`look` as in Chart); the id of the line that was clicked, or None."""
    opened = charts([Chart(label, lines, **look)], key=key)
    return None if opened is None else opened[1]


class Sheet:
    """Charts in the order in which they are added. Whatever is no chart is drawn after `flush`."""

    def __init__(self, key: str) -> None:
        self._key, self._drawn, self._waiting = key, 0, []

    def add(self, chart: Chart) -> None:
        """One more chart below the others."""
        self._waiting.append(chart)

    def flush(self) -> None:
        """Draw what was added, before something else is."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        self._drawn += 1
        opened = charts(waiting, key=f"{self._key} {self._drawn}")
        if opened is not None and opened[0].opens is not None:
            opened[0].opens(opened[1])

    @contextmanager
    def part(self) -> Iterator[None]:
        """A part that may fail: its notice stands where it would have stood."""
        with errors.shown():
            try:
                yield
            except Exception:
                self.flush()
                raise
