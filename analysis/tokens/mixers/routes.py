"""In which order a scan visits the cells of a grid, and the way back.

A route (T,) lists cells in the order of the scan: x[route] is what the scan reads, y[inverse(route)] lies on the grid
again. Row, column, snake (every other row backwards), diagonal (cells of equal i + j together); each backwards too.
"""

from __future__ import annotations

import numpy as np

ROUTES = ("row", "column", "snake", "diagonal")
BACK = ", backwards"


def route(name: str, grid: tuple[int, int]) -> np.ndarray:
    """(HW,) cells in the order of the scan."""
    h, w = grid
    cells = np.arange(h * w).reshape(h, w)
    kind = name.removesuffix(BACK)
    if kind == "column":
        order = cells.T.ravel()
    elif kind == "snake":
        order = np.where(np.arange(h)[:, None] % 2 == 0, cells, cells[:, ::-1]).ravel()
    elif kind == "diagonal":
        i, j = np.divmod(np.arange(h * w), w)
        order = np.lexsort((i, i + j))
    else:
        order = cells.ravel()
    return order[::-1] if name.endswith(BACK) else order


def inverse(order: np.ndarray) -> np.ndarray:
    """(T,) where each cell stands in the scan."""
    out = np.empty(len(order), np.int64)
    out[order] = np.arange(len(order))
    return out


def folded(matrix: np.ndarray, order: np.ndarray) -> np.ndarray:
    """(T, T) a matrix in scan order, on the cells: both axes back to the grid."""
    back = inverse(order)
    return matrix[np.ix_(back, back)]


def several(grid: tuple[int, int]) -> dict[str, np.ndarray]:
    """Routes that differ on this grid, by name, each forwards and backwards."""
    found: dict[str, np.ndarray] = {}
    for name in (n + b for n in ROUTES for b in ("", BACK)):
        order = route(name, grid)
        if not any(np.array_equal(order, other) for other in found.values()):
            found[name] = order
    return found
