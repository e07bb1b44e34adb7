"""Numbers with intervals against chance, as lines of a chart: what the page and a published card draw alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field


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
