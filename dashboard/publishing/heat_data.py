"""A heat map as data: the overview, and finer cells in blocks as far as there is room."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analysis.results import Heatmap
from analysis.store.tiles import SIDE, Tiles
from dashboard.browse import heat_picture
from dashboard.figures import alt_text
from dashboard.figures.style import DARK, LIGHT
from dashboard.figures.text import plain
from dashboard.publishing.map_data import said
from dashboard.publishing.scripts import bytes64

MOST_CELLS = 2048  # a side of the finest level that goes


def finest(shape: tuple[int, int]) -> int:
    """The level of the finest cells that go: 0 where all do."""
    level = 0
    while max(shape) > MOST_CELLS << level:
        level += 1
    return level


def drawn_heat(result: Heatmap, tiles: Tiles | None) -> dict:
    """What the page of heat maps needs."""
    shown = heat_picture.picture(
        result, theme="light", titles=_titles(result), label=alt_text(result),
        help="drag to move, wheel to zoom, Shift-drag for a box; click a cell for its pair",
    )  # fmt: skip
    rows, columns = shown.names
    stops = [list(look.diverging if result.diverging else look.sequential) for look in (LIGHT, DARK)]
    orders = [
        np.asarray(units)[np.asarray(order)].astype("<i4").tobytes()
        for units, order in ((result.row_units, result.row_order), (result.column_units, result.column_order))
    ]
    inputs = [str(i.get("name", "")) for i in result.origin.inputs]
    return {
        **shown.said, "stops": None, "looks": dict(zip(("light", "dark"), stops, strict=True)),
        "shape": shown.shape, "cells": bytes64(shown.cells.data), "of": result.of,
        "names": [bytes64(rows.data), bytes64(columns.data)],
        "trees": [tree and {"bytes": bytes64(tree.column.data), "height": tree.height} for tree in shown.trees],
        "units": [bytes64(order) for order in orders], "taps": [inputs[0], inputs[-1]],
        "finest": None if tiles is None else finest(shown.shape), "scale": 0 if tiles is None else tiles.scale,
        "block": SIDE, "notes": said(result),
    }  # fmt: skip


def _titles(result: Heatmap) -> tuple[str, str]:
    names = [plain(i.get("name", "")) for i in result.origin.inputs]
    return tuple(f"{result.of} of {name}" for name in (names[0], names[-1]))


def blocks(result: Heatmap, tiles: Tiles | None) -> Iterator[tuple[str, dict]]:
    """("level-row-column", int16 cells as base64 with their rows and columns) of every block that goes."""
    if tiles is None:
        return
    shape = tuple(int(side) for side in result.shape)
    coarsest = round(np.log2(max(1, int(result.gathered))))
    for level in range(finest(shape), coarsest):
        side = SIDE << level
        for i in range(-(-shape[0] // side)):
            for j in range(-(-shape[1] // side)):
                cells = tiles.stored(level, i * SIDE, (i + 1) * SIDE, j * SIDE, (j + 1) * SIDE)
                rows, columns = cells.shape
                yield (
                    f"{level}-{i}-{j}",
                    {"rows": rows, "columns": columns, "cells": bytes64(cells.tobytes())},
                )
