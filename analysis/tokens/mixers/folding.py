"""Matrices of mixers on the cells of a grid: means over heads, scans along routes, and what lies how far in them."""

from __future__ import annotations

import numpy as np

from analysis.tokens.mixers.reading import Mixing, decaying_scan
from analysis.tokens.mixers.routes import folded

HEADS = 16  # heads or channels that a mean is of


def on_cells(own: Mixing, layer: int, cells: int) -> np.ndarray:
    """(cells, cells) mean of |M| over heads; tokens without a cell left out, zeros where a cell has no token."""
    m = np.abs(own.give(layer, own.some(layer, HEADS))).mean(axis=0)
    cell = own.lies(layer)[0]
    out, there = np.zeros((cells, cells)), cell >= 0
    if len(m) == len(cell):
        out[np.ix_(cell[there], cell[there])] = m[np.ix_(there, there)]
    return out


def along(x: np.ndarray, order: np.ndarray, forgets: float) -> np.ndarray:
    """(T, T) on the cells: the decaying scan of rows x (T, d) in an order."""
    return folded(decaying_scan(x[order], x[order], forgets), order)


def each_token(weight: np.ndarray, of, down, along) -> np.ndarray:
    """Of each token that reads (another, for a share) the mean distance, or the share of it along rows."""
    top, low = (weight * of, weight) if of is not None else (weight * along, weight * (down + along))
    top, low = top.sum(axis=1), low.sum(axis=1)
    return top[low > 0] / low[low > 0]
