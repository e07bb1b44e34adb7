"""Cells of neighbouring tokens on the grid, which pooling makes one token each: how a grid is cut, and what is in each.

Without a grid, cells are runs of tokens in order. The number of cells is that of the cut, not exactly the one wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from analysis.spec import param
from analysis.tokens.rule import AFTER
from analysis.tokens.state import GONE
from analysis.tokens.view import View

NOTE = "The number of tokens left is that of the grid, not exactly the share that is asked for."
POOLS = {
    "place": AFTER,
    "schedule": "second",
    "own_count": True,
    "merges": True,
}  # what rules that pool share


@dataclass(frozen=True)
class BlockSettings:
    side: int = param(2, "Rows and columns of a cell.", low=1, high=64)


def nest(rows: int, columns: int) -> list[tuple[int, int]]:
    """Cells (rows, columns) of nested grids, from single tokens to one cell of all."""
    found, left = [(1, 1)], [rows, columns]
    while left[0] > 1 or left[1] > 1:
        by = [next((f for f in range(2, side + 1) if side % f == 0), 1) for side in left]
        left = [side // f for side, f in zip(left, by, strict=True)]
        found.append((rows // left[0], columns // left[1]))
    return found


def cells(
    view: View, cut: Callable[[int, int, int], tuple[np.ndarray, np.ndarray]], remove: np.ndarray
) -> np.ndarray:
    """(B, t) the cell of each free token of samples where something is to go, GONE of others. `cut(rows, columns,
    wanted)` -> the cell row of every row of a frame and the cell column of every column."""
    free, group = view.free, np.full(view.free.shape, GONE)
    rows, columns = view.layout.grid or (1, 0)
    frames = max(view.layout.frames, 1)
    for b in np.flatnonzero(remove > 0):
        places = np.flatnonzero(free[b])
        wanted = len(places) - int(remove[b])
        if view.layout.grid is None:
            across = cut(1, len(places), max(wanted, 1))[1]
            group[b, places] = across
            continue
        high = rows // frames
        down, across = cut(high, columns, max(wanted // frames, 1))
        cell = view.cell[b, places]
        row, column = cell // columns, cell % columns
        wide = int(across.max()) + 1
        group[b, places] = (row // high * (int(down.max()) + 1) + down[row % high]) * wide + across[column]
    return group


def blocks(side: int):
    def cut(rows: int, columns: int, wanted: int):
        across = side if rows > 1 or columns == 1 else side**2
        return np.arange(rows) // side, np.arange(columns) // across

    return cut


def alike(group: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, list[np.ndarray]]]:
    """(samples, places in any cell, places of each cell) of samples whose groups (B, t) are the same."""
    patterns, which = np.unique(group, axis=0, return_inverse=True)
    for k, pattern in enumerate(patterns):
        inside = np.flatnonzero(pattern != GONE)
        if len(inside):
            each = [np.flatnonzero(pattern == cell) for cell in np.unique(pattern[inside])]
            yield np.flatnonzero(which.ravel() == k), inside, each
