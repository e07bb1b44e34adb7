"""Nested grids of tokens, from single tokens to one: 24 x 24 gives 576, 144, 36, 9 and 1.

A token of a grid is the mean of the tokens that are present in its cell. Sides halve while they are even, and shrink by
their smallest divisor where not, so that cells hold equally many tokens and pooling in stages is pooling at once.
Tokens without a grid are a line of cells, the last of which may be shorter.

Reference: M. Cai, J. Yang, J. Gao & Y. J. Lee (2024), "Matryoshka multimodal models".
"""

from __future__ import annotations

import numpy as np

from analysis.tokens.grid_cells import nest


def nested_cells(tokens: int, grid: tuple[int, int] | None) -> list[np.ndarray]:
    """Cell (T,) of every token in each of the nested grids, fine to coarse; cells are counted from 0."""
    if grid is not None:
        rows, columns = grid
        at = np.arange(rows * columns)
        return [at // columns // h * (columns // w) + at % columns // w for h, w in nest(rows, columns)]
    out, wide = [], 1
    while wide < tokens:
        out.append(np.arange(tokens) // wide)
        wide *= 2
    return [*out, np.zeros(tokens, np.int64)]


def cell_means(x: np.ndarray, present: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """((n, C, d) means of the tokens present in each cell, 0 where there is none; (n, C) how many)."""
    count = int(cell.max()) + 1
    if count == len(cell):
        order = np.argsort(cell)
        return x[:, order] * present[:, order, None], present[:, order] * 1.0
    member = np.zeros((count, len(cell)))
    member[cell, np.arange(len(cell))] = 1.0
    inside = present @ member.T
    sums = np.matmul(member, x * present[..., None])
    return sums / np.maximum(inside, 1)[..., None], inside


def smallest_sufficient(right: np.ndarray) -> np.ndarray:
    """(n,) the first of the levels (L, n), coarse to fine, that is right; L where none is."""
    return np.where(right.any(axis=0), right.argmax(axis=0), len(right))
