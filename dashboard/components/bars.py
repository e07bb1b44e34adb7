"""Numbers with intervals against chance, as lines that can be clicked (bars/bars.js).

Charts that stand below each other are one component: a page is drawn anew at every click, and each further component
costs about as much as all its lines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import streamlit as st

from dashboard import errors
from dashboard.components.source import joined

_bars = st.components.v2.component(
    "loupe_bars", css=joined("bars", "bars.css"), js=joined("bars", "../dom.js", "bars.js")
)


@dataclass(frozen=True)
class Line:
    """One line. `null`: the range that chance gives. `id`: what a click on it opens."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    null: tuple[float, float] | None = None
    text: str = ""
    title: str = ""
    id: str | None = None


@dataclass(frozen=True)
class Chart:
    """Lines on one scale, which holds `zero` and `reach`, with a dashed line at `mark` that `mark_word` explains.

    `heading`, in bold, and `about` stand above it, `note` (with `points`, each on a line of its own) below. `opens` is
    told the id of a line that was clicked.
    """

    label: str
    lines: list[Line] = field(default_factory=list)
    null_word: str = ""
    zero: float | None = 0.0
    reach: float | None = None
    mark: float | None = None
    mark_word: str = ""
    heading: str = ""
    about: str = ""
    note: str = ""
    points: tuple[str, ...] = ()
    opens: Callable[[str], None] | None = None

    def data(self) -> dict:
        """What the browser draws."""
        lines = [line for line in self.lines if math.isfinite(line.value)]
        ends = [
            v
            for line in lines
            for v in (line.value, line.low, line.high, *(line.null or ()))
            if v is not None
        ]
        ends += [v for v in (self.zero, self.reach, self.mark) if v is not None]
        return {
            "lines": [vars(line) for line in lines], "label": self.label, "low": min(ends, default=0.0),
            "high": max(ends, default=1.0), "zero": self.zero, "null_word": self.null_word, "mark": self.mark,
            "mark_word": self.mark_word, "heading": self.heading, "about": self.about, "note": self.note,
            "points": self.points,
        }  # fmt: skip


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
