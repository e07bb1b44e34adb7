"""Numbers with intervals against chance, as lines that can be clicked (bars/bars.js)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import streamlit as st

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


def bars(
    lines: list[Line],
    *,
    key: str,
    label: str,
    null_word: str = "",
    zero: float | None = 0.0,
    reach: float | None = None,
    mark: float | None = None,
    mark_word: str = "",
) -> str | None:
    """Draw the lines on one scale, which holds `zero` and `reach`, with a dashed line at `mark` that `mark_word`
    explains; the id of the line that was clicked, or None."""
    lines = [line for line in lines if math.isfinite(line.value)]
    ends = [
        v for line in lines for v in (line.value, line.low, line.high, *(line.null or ())) if v is not None
    ]
    ends += [v for v in (zero, reach, mark) if v is not None]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    data = {"lines": [asdict(line) for line in lines], "label": label, "low": low, "high": high, "zero": zero,
            "null_word": null_word, "mark": mark, "mark_word": mark_word}  # fmt: skip
    answer = _bars(key=key, data=data, on_open_change=lambda: None)
    opened = answer.get("open")
    id = opened.get("id") if isinstance(opened, dict) else None
    return id if any(line.id == id for line in lines if line.id is not None) else None
