"""From a Heatmap to what the heat map component draws: columns of bytes and a few words."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from analysis.results import Heatmap
from dashboard.browse.kept import Kept
from dashboard.browse.picture import Column
from dashboard.figures.rounded_cells import ZERO, known_size, only_rounding
from dashboard.figures.style import theme_named
from dashboard.figures.text import number, plain, shorten

STEPS = 32_767  # of a value on either side of zero; one more below is no value (see heatmap/layers.js)
MISSING = -STEPS - 1
MOST_CELLS = 512  # a side that travel at once
NAMES_BYTES = 800_000  # of all names of one side; longer ones are shortened
LONGEST_NAME = 60
BEYOND_ALL = 1e300  # the threshold where nothing is significant; JSON has no infinity
Box = tuple[int, int, int, int]  # rows [0:1], columns [2:3]
_kept = Kept(16)


@dataclass(frozen=True)
class Tree:
    """Branches beside rows or columns: float32 (k, 5) of height, place, height, place, height; the greatest height."""

    column: Column
    height: float


@dataclass(frozen=True)
class HeatPicture:
    """All that a heat map shows; what the fields mean is said in heatmap/heat.js. `said` holds its plain ones."""

    shape: tuple[int, int]
    cells: Column
    names: tuple[Column, Column]
    trees: tuple[Tree | None, Tree | None] = (None, None)
    said: dict = field(default_factory=dict)


def picture(result: Heatmap, *, theme: str, titles: tuple[str, str], label: str, help: str) -> HeatPicture:
    """Put a heat map together. `titles` of rows and columns, `label` for whoever cannot see it, `help`: what a click
    does. Columns are kept between runs: naming 16,384 lines takes longer than drawing them."""
    origin = result.origin
    key = None if origin is None else repr((origin.recipe(), result.title))
    cells, names, trees = _columns(result) if key is None else _kept.get(key, lambda: _columns(result))
    look = theme_named(theme)
    low, high = colour_limits(result)
    threshold = None if math.isnan(result.threshold) else min(float(result.threshold), BEYOND_ALL)
    said = {
        "label": label,
        "titles": [plain(title) for title in titles],
        "noun": "unit" if result.of == "units" else "",
        "value": plain(result.value_name) or "value",
        "low": low,
        "high": high,
        "stops": list(look.diverging if result.diverging else look.sequential),
        "nullBand": None if result.null_band is None else [float(v) for v in result.null_band],
        "nullWords": null_words(result),
        "threshold": threshold,
        "thresholdWords": threshold_words(result),
        "help": help,
    }
    return HeatPicture((int(result.shape[0]), int(result.shape[1])), cells, names, trees, said)


def _columns(result: Heatmap) -> tuple[Column, tuple[Column, Column], tuple[Tree | None, Tree | None]]:
    overview = np.asarray(result.overview, np.float32)
    level = round(math.log2(max(1, int(result.gathered))))
    cells = packed(overview, level, (0, 0), scale_of(overview))
    rows = named(np.asarray(result.row_names)[np.asarray(result.row_order)])
    columns = named(np.asarray(result.column_names)[np.asarray(result.column_order)])
    across = None if is_square(result) else tree(result.column_linkage, result.column_groups)
    return cells, (rows, columns), (tree(result.linkage, result.row_groups), across)


def colour_limits(result: Heatmap) -> tuple[float, float]:
    """Ends of the scale: the result's own, or those of its values; symmetric about zero when it diverges."""
    values = np.asarray(result.overview, np.float64)
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    if only_rounding(values, known_size(result)) == ZERO:
        low, high = 0.0, float(not result.diverging)
    low, high = map(float, result.limits if result.limits is not None else (low, high))
    if result.diverging:
        high = max(abs(low), abs(high))
        low = -high
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def null_words(result: Heatmap) -> str:
    """What the legend says of the hatched part of the scale."""
    if result.null_band is None:
        return ""
    low, high = result.null_band
    return f"structureless data: {number(low, 2)} to {number(high, 2)}"


def threshold_words(result: Heatmap) -> str:
    """What the legend says of the marks at the scale, and how many cells are beyond them."""
    if math.isnan(result.threshold):
        return ""
    if math.isinf(result.threshold):
        return f"none of the {'pairs' if is_square(result) else 'cells'} is significant"
    sign = "±" if result.diverging else ""
    of = "pairs" if is_square(result) else "cells"
    return (
        f"significant from {sign}{number(result.threshold, 2)} on: {result.share_significant:.0%} of the {of}"
    )


# ---------------------------------------------------------------------------- columns of bytes
def scale_of(values: np.ndarray) -> float:
    """The value of one step, so that the largest of `values` is 32,767 of them."""
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max(initial=0.0)) / STEPS or 1.0 / STEPS


def packed(values: np.ndarray, level: int, first: tuple[int, int], scale: float) -> Column:
    """A block of cells as it travels (heatmap/layers.js): a header, then int16; at most half a step is lost."""
    rows, columns = values.shape
    head = np.zeros(8, "<i4")
    head[:5] = first[0], first[1], level, rows, columns
    head[5:6] = np.array([scale], "<f4").view("<i4")
    with np.errstate(invalid="ignore"):
        steps = np.rint(np.asarray(values, np.float64) / np.float64(np.float32(scale)))
    steps = np.where(np.isfinite(steps), np.clip(steps, -STEPS, STEPS), MISSING)
    return Column(head.tobytes() + steps.astype("<i2").tobytes())


def named(names: np.ndarray) -> Column:
    """Names, one a line; shortened in their middle where they are long."""
    limit = int(np.clip(NAMES_BYTES // max(1, len(names)) - 1, 6, LONGEST_NAME))
    return Column("\n".join(shorten(name, limit) for name in names).encode())


def tree(linkage: np.ndarray | None, groups: np.ndarray | None) -> Tree | None:
    """The branches of a clustering of g groups of lines; None where there is none, or where it does not fit."""
    if linkage is None or groups is None:
        return None
    linkage, ends = np.asarray(linkage, np.float64), np.asarray(groups, np.float64).ravel()
    g = len(ends) - 1
    if g < 2 or linkage.shape != (g - 1, 4):
        return None
    place, height = np.empty(2 * g - 1), np.zeros(2 * g - 1)
    place[:g] = (ends[:-1] + ends[1:]) / 2
    lines = np.empty((g - 1, 5), "<f4")
    for k, (a, b, distance, _) in enumerate(linkage):
        a, b = int(a), int(b)
        lines[k] = height[a], place[a], distance, place[b], height[b]
        place[g + k], height[g + k] = (place[a] + place[b]) / 2, distance
    return Tree(Column(lines.tobytes()), float(linkage[:, 2].max()) or 1.0)


# ---------------------------------------------------------------------------- any part of it
def answer(tiles, box: Box, most: int) -> Column:
    """The block that the browser asks for, at most `most` gathered cells a side. `tiles` is a `store.tiles.Tiles`."""
    values, level, first = tiles.block(*box, most=min(most, MOST_CELLS))
    return packed(values, level, first, float(tiles.scale))


def strongest(result: Heatmap, tiles, box: Box) -> tuple[int, int]:
    """The line pair (row, column) of largest |value| in a box, in drawing order; not a unit with itself where there is
    another. `tiles` may be None where the overview holds every cell."""
    r0, r1, c0, c1 = box
    if tiles is None:
        values = np.asarray(result.overview)[r0:r1, c0:c1]
    else:
        values, level, _ = tiles.block(r0, r1, c0, c1, most=MOST_CELLS)
        if level:  # larger than what can be seen at once: nobody can have pointed at one cell of it
            return r0, c0
    size = np.where(np.isfinite(values), np.abs(values), -1.0)
    same = result.row_units[result.row_order[r0:r1], None] == result.column_units[result.column_order[c0:c1]]
    if is_square(result) and not same.all():
        size = np.where(same, -1.0, size)
    i, j = np.unravel_index(int(size.argmax()), size.shape)
    return r0 + int(i), c0 + int(j)


def is_square(result: Heatmap) -> bool:
    """Whether rows and columns are the same units: those of one tap. Two taps may have the same numbers and names."""
    if result.origin is not None and len(result.origin.inputs) > 1:
        return False
    return np.array_equal(result.row_units, result.column_units) and np.array_equal(
        result.row_names, result.column_names
    )
