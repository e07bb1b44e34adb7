"""Curve: named series over one axis, each with its band and its null, labelled at the line itself."""

from __future__ import annotations

import numpy as np

from analysis.results import Curve
from dashboard.figures.crowd_paper import paper_height
from dashboard.figures.curve_paper import paper
from dashboard.figures.curve_parts import notes
from dashboard.figures.curve_screen import screen
from dashboard.figures.text import number, plain, shorten, unique

__all__ = ["PAPER_SHAPE", "empty", "notes", "paper", "paper_height", "screen", "table", "words"]

PAPER_SHAPE = 0.66


def empty(result: Curve) -> str:
    if not result.series or len(result.x) == 0:
        return "There is no line to draw: the curve has no point."
    if not any(np.isfinite(np.asarray(v, float)).any() for v in result.series.values()):
        return f"None of the {len(result.series):,} series has a finite value."
    if result.log_x and not (np.asarray(result.x, float) > 0).any():
        return "No place is above zero, so a log axis shows nothing."
    return ""


def table(result: Curve, **_ignored) -> dict[str, np.ndarray]:
    columns = [(plain(result.x_name) or "x", np.asarray(result.x))]
    if result.x_labels:
        columns = [(columns[0][0], np.array([plain(name) for name in result.x_labels])), ("place", result.x)]
    for name, values in result.series.items():
        columns.append((name, np.asarray(values)))
        for part in ("low", "high", "null"):
            if name in getattr(result, part):
                columns.append((f"{name} {part}", np.asarray(getattr(result, part)[name])))
    columns += [
        (f"{name} null", np.asarray(v)) for name, v in result.null.items() if name not in result.series
    ]
    return dict(zip(unique([n for n, _ in columns]), [v for _, v in columns], strict=True))


def words(result: Curve) -> str:
    x = np.asarray(result.x, float)
    ends = [number(np.nanmin(x)), number(np.nanmax(x))]
    if result.x_labels:
        ends = [shorten(result.x_labels[int(i)], 40) for i in (np.nanargmin(x), np.nanargmax(x))]
    parts = [
        f"{len(result.series):,} line(s) of {plain(result.y_name)} over {plain(result.x_name)} from "
        f"{ends[0]} to {ends[1]} ({len(x):,} place(s))."
    ]
    for name, values in list(result.series.items())[:6]:
        y = np.asarray(values, float)
        if np.isfinite(y).any():
            good = y[np.isfinite(y)]
            text = f"{shorten(name)} goes from {number(good[0])} to {number(good[-1])}, highest {number(good.max())}"
            null = result.null.get(name)
            parts.append(
                text + (f", null {number(np.nanmean(null))} on average." if null is not None else ".")
            )
        places = np.asarray(result.marks.get(name, ()), float)
        if len(places):
            parts.append(f"{plain(result.mark_name)} of {shorten(name)}: {', '.join(map(number, places))}.")
    return " ".join(parts)
