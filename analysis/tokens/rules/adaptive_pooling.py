"""Adaptive pooling: the grid is cut into as many equal cells as are wanted, and every cell becomes its mean.

    a x b cells,  a b the largest number not above the one wanted,  at most twice as long as wide

Token (i, j) of R x C lies in cell (⌊i a / R⌋, ⌊j b / C⌋), so that every token is in one cell, where common adaptive
pooling lets the cells of grids that do not divide overlap. Means are weighed by how many input tokens are inside.
"""

from __future__ import annotations

import numpy as np

from analysis.tokens.choosing import merge_groups
from analysis.tokens.grid_cells import NOTE, POOLS, cells
from analysis.tokens.rule import Rule
from analysis.tokens.state import Step
from analysis.tokens.view import View


def adaptive(rows: int, columns: int, wanted: int) -> tuple[int, int]:
    """Rows and columns of cells, at most `wanted` in all and as many as there may be; 1 x 1 if nothing else."""
    best, worth = (1, 1), (1, -np.inf)
    for a in range(1, rows + 1):
        b = min(columns, wanted // a)
        shape = abs(np.log(max(b, 1) / columns * rows / a))
        if b and shape <= np.log(2) + 1e-9 and (a * b, -shape) > worth:
            best, worth = (a, b), (a * b, -shape)
    return best


def cut(rows: int, columns: int, wanted: int):
    a, b = (
        adaptive(rows, columns, wanted)
        if rows > 1 and columns > 1
        else (min(rows, wanted), min(columns, wanted))
    )
    return np.arange(rows) * a // rows, np.arange(columns) * b // columns


def decide(view: View, remove: np.ndarray, settings, rng) -> Step:
    group = cells(view, cut, remove)
    return merge_groups(view.state, group, np.zeros(group.shape), np.full(group.shape, np.nan))


RULES = (
    Rule(
        id="adaptive_pooling",
        title="Adaptive pooling",
        equation="the mean of each of a x b equal cells, as many as are wanted",
        says="means over equal cells of the image, as many cells as tokens are wanted.",
        decide=decide,
        notes=(NOTE,),
        **POOLS,
    ),
)
