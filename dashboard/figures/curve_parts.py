"""What drawing a curve on screen and on paper have in common: which series, which places, which range."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from analysis.results import Curve, Estimate
from dashboard.figures import curve_film
from dashboard.figures.short_names import told_apart
from dashboard.figures.style import MOST_CATEGORIES
from dashboard.figures.text import plain

DIRECT_LABELS = 8
LONGEST_LIST = 32  # lines of a crowd that is ranked
BANDS = 2  # of a crowd that are drawn
MOST_TICKS = 24  # names along the axis; of more, every second, third, …
NAME = 22  # characters of a name along the axis at most
ROUNDING, NOTHING = 1e-9, 1e-100  # of the values; below the second all are 0


def crowded(result: Curve) -> bool:
    """Whether lines are too many to be told apart without a list beside them, and few enough for one."""
    return DIRECT_LABELS < len(result.series) <= (LONGEST_LIST if totals_of(result) else MOST_CATEGORIES)


def totals_of(result: Curve) -> dict[str, Estimate]:
    """By series the estimate that is called after it: "area, <name>"."""
    found = {}
    for name in result.series:
        own = [e for e in result.estimates if e.name.endswith((f", {name}", f": {name}"))]
        if own:
            found[name] = own[0]
    return found if len(found) > len(result.series) // 2 else {}


def chosen(result: Curve) -> tuple[list[str], list[str]]:
    """(names drawn in colour, names drawn as thin grey lines): the first 20 keep a colour."""
    names = list(result.series)
    return names[:MOST_CATEGORIES], names[MOST_CATEGORIES:]


def notes(result: Curve) -> tuple[str, ...]:
    said = []
    coloured, rest = chosen(result)
    if rest and not crowded(result):
        said.append(
            f"{len(result.series):,} series: the first {len(coloured)} are in the legend, the others are thin grey"
        )
    if result.log_x and (np.asarray(result.x, float) <= 0).any():
        said.append("places at or below zero have none on a log axis and are not drawn")
    if crowded(result):
        said.append(f"bands: of the first {BANDS} lines of the list; the table has all")
        chance = ["beside the list: what chance gives"] if totals_of(result) else []
        chance += ["behind the lines: the nulls of all"] if result.null else []
        lines = ["lines: controls, which look at no network"] if result.controls else []
        said += ["grey " + "; ".join(lines + chance)] if lines + chance else []
    elif result.null:
        said.append("dashed grey: the null, what structureless data gives")
    if any(len(places) for places in result.marks.values()):
        said.append(f"diamonds: {plain(result.mark_name)}")
    return (*said, *curve_film.notes(result))


def drawn_places(result: Curve, x: np.ndarray, name: str) -> np.ndarray:
    """(m,) bool: the places of a line that are handed over; a gap is left out where lines run on across it."""
    return np.isfinite(np.asarray(result.series[name], float)) if result.joined else np.ones(len(x), bool)


def marked(result: Curve, name: str) -> np.ndarray:
    """(m,) bool: the places of a series that stand out."""
    return np.isin(np.asarray(result.x, float), np.asarray(result.marks.get(name, ()), float))


def span(result: Curve, banded: Collection[str] | None = None) -> tuple[float, float]:
    """Both ends of the axis of values; `banded` names the series whose bands are drawn (None: all)."""
    bands = [
        v for side in (result.low, result.high) for k, v in side.items() if banded is None or k in banded
    ]
    parts = [*result.series.values(), *bands, *result.null.values()]
    values = np.concatenate([np.asarray(v, float).ravel() for v in parts])
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    if result.bars:  # bars stand on zero
        low, high = min(low, 0.0), max(high, 0.0)
    size = max(abs(low), abs(high))
    if high - low <= ROUNDING * size or size < NOTHING:  # a flat line: what it differs by is rounding
        margin = 0.1 * size if size >= NOTHING else 1.0
    else:
        margin = 0.05 * (high - low)
    return low - margin, high + margin


def last_points(result: Curve, names: list[str]) -> dict[str, tuple[float, float]]:
    """(x, y) of the finite point of each series that is furthest to the right: x may fall from step to step."""
    x, found = np.asarray(result.x, float), {}
    for name in names:
        y = np.asarray(result.series[name], float)
        good = np.flatnonzero(np.isfinite(y) & np.isfinite(x) & ((x > 0) | (not result.log_x)))
        if len(good):
            last = good[len(good) - 1 - np.argmax(x[good][::-1])]
            found[name] = (float(x[last]), float(y[last]))
    return found


def ticks(result: Curve, room: int) -> tuple[np.ndarray, list[str]]:
    """Places along x and their names, shortened to so many characters in all where that leaves something of them."""
    x = np.asarray(result.x, float)
    named = np.flatnonzero([bool(name) for name in result.x_labels])  # "" has no tick
    every = max(1, -(-len(named) // MOST_TICKS))
    shown = named[::every]
    names = told_apart(
        [result.x_labels[i] for i in named], int(np.clip(room // max(len(shown), 1) - 1, 8, NAME))
    )
    return x[shown], names[::every]
