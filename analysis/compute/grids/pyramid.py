"""Spatial pyramid: the values of the places of a grid pooled in 1, 2 × 2 and 4 × 4 cells.

K features of a grid give K · 21 numbers with levels {1, 2, 4}. A cell of a coarse level is made of the four below it:
the maximum is their maximum, the mean their mean (weighted by places where cells differ in size). Along a line without
a grid, levels have 1, 2 and 4 cells.

Reference: S. Lazebnik, C. Schmid & J. Ponce (2006), "Beyond bags of features: spatial pyramid matching".
"""

from __future__ import annotations

import numpy as np

LEVELS = (1, 2, 4)


def levels_of(height: int, width: int) -> tuple[int, ...]:
    """Those of 1, 2, 4 whose cells all hold a place: a line counts its length only."""
    least = max(height, width) if min(height, width) == 1 else min(height, width)
    return tuple(level for level in LEVELS if level <= least)


def cell_of(height: int, width: int, level: int) -> np.ndarray:
    """(height × width,) cell of each place at a level, row by row. Borders are among those of every finer level."""
    down, along = (1 if height == 1 else level), (1 if width == 1 else level)
    rows, columns = np.arange(height) * down // height, np.arange(width) * along // width
    return (rows[:, None] * along + columns).ravel()


def pooled(values: np.ndarray, height: int, width: int, how: str) -> list[np.ndarray]:
    """Of `values` (height × width, k): (cells, k) at each level of `levels_of`, coarse to fine. `how`: mean or max."""
    out = []
    for level in levels_of(height, width):
        cell = cell_of(height, width, level)
        order = np.argsort(cell, kind="stable")
        cuts = np.flatnonzero(np.r_[True, np.diff(cell[order]) != 0])
        combine = np.maximum if how == "max" else np.add
        found = combine.reduceat(values[order], cuts, axis=0)
        out.append(found if how == "max" else found / np.diff(np.append(cuts, len(order)))[:, None])
    return out


def cell_names(height: int, width: int) -> list[str]:
    """ "all", "2: top left" …: one for each cell of `pooled`, levels joined."""
    names = []
    for level in levels_of(height, width):
        down, along = (1 if height == 1 else level), (1 if width == 1 else level)
        if level == 1:
            names.append("all")
        elif down == 1 or along == 1:
            names += [f"part {i + 1} of {level}" for i in range(level)]
        else:
            names += [f"{level}×{level}: {i + 1}, {j + 1}" for i in range(down) for j in range(along)]
    return names
