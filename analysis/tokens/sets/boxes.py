"""Boxes of instances on a grid of patches: which cells are inside, and regions cut out and put back.

    align     R x C samples of a map at the centres of the bins of a box, linear between cells (He et al. 2017)
    unpool    the reverse: cells whose centre is in the box take what the R x C samples say there, the others 0

On a box of whole cells, with as many samples as cells, align behind unpool gives the samples back exactly.
"""

from __future__ import annotations

import numpy as np

from analysis.errors import ParameterError
from analysis.tokens.boxes import BOX

EXPECTED = "rows and columns of patches, such as 2-4, 3-5, or left top right bottom as shares, such as " \
           "0.1 0.2 0.5 0.6; several with ; between"  # fmt: skip


def boxes_in(text: str, grid: tuple[int, int]) -> np.ndarray:
    """(K, 4) top, left, bottom, right in cells, of the boxes in a text.

    Raises ParameterError where one is none, is empty or does not lie on the picture.
    """
    found = [_box(part, grid) for part in str(text).split(";") if part.strip()]
    return np.array(found, np.float64).reshape(len(found), 4)


def _box(part: str, grid: tuple[int, int]) -> tuple[float, float, float, float]:
    rows, columns = grid
    cells = BOX.match(part)
    if cells:
        top, bottom, left, right = (int(g) if g else None for g in cells.groups())
        bottom, right = top if bottom is None else bottom, left if right is None else right
        box = (top - 1.0, left - 1.0, float(bottom), float(right))
    else:
        try:
            left, top, right, bottom = (float(v) for v in part.replace(",", " ").split())
        except ValueError:
            raise ParameterError(f"box {part.strip()!r}", EXPECTED) from None
        box = (top * rows, left * columns, bottom * rows, right * columns)
    slack = 1e-9 * max(grid)
    inside = -slack <= box[0] < box[2] <= rows + slack and -slack <= box[1] < box[3] <= columns + slack
    if not inside:
        raise ParameterError(
            f"box {part.strip()!r}",
            f"one with an area on the picture, which has {rows} rows and {columns} columns",
        )
    return box


def cells_inside(boxes: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """(K, cells) bool: cells whose centre is in each box (K, 4); the nearest one where none is."""
    r, c = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    r, c = r + 0.5, c + 0.5
    found = (boxes[:, :1] <= r) & (r < boxes[:, 2:3]) & (boxes[:, 1:2] <= c) & (c < boxes[:, 3:4])
    for k in np.flatnonzero(~found.any(axis=1)):
        middle = boxes[k, :2] + boxes[k, 2:]
        found[k, np.hypot(r - middle[0] / 2, c - middle[1] / 2).argmin()] = True
    return found


def align(x: np.ndarray, box: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(R, C, d) samples of a map x (h, w, d) in a box (top, left, bottom, right)."""
    at = [box[i] + (np.arange(shape[i]) + 0.5) * (box[i + 2] - box[i]) / shape[i] - 0.5 for i in range(2)]
    return _linear(x, *at)


def unpool(f: np.ndarray, box: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """(h, w, d) map with samples f (R, C, d) put back into a box."""
    at = [(np.arange(grid[i]) + 0.5 - box[i]) * f.shape[i] / (box[i + 2] - box[i]) - 0.5 for i in range(2)]
    return _linear(f, *at) * cells_inside(box[None], grid).reshape(*grid, 1)


def _linear(x: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Values of x (h, w, d) at each of these rows and columns, beyond its ends those at the ends."""
    for axis, at in enumerate((rows, columns)):
        at = np.clip(at, 0, x.shape[axis] - 1)
        low = np.minimum(np.floor(at + 1e-12).astype(int), x.shape[axis] - 1)
        part = (at - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        high = np.minimum(low + 1, x.shape[axis] - 1)
        x = np.take(x, low, axis) * (1 - part) + np.take(x, high, axis) * part
    return x


def lost(x: np.ndarray, box: np.ndarray) -> float:
    """Share of the variance of samples of a box of x (h, w, d), as many as it has cells, that is gone when they are
    put back and taken again."""
    shape = tuple(max(round(float(box[i + 2] - box[i])), 1) for i in range(2))
    f = align(x, box, shape)
    again = align(unpool(f, box, x.shape[:2]), box, shape)
    total = np.square(f - f.mean(axis=(0, 1))).sum()
    return (
        float(np.square(again - f).sum() / total) if total > 1e-24 * max(np.square(f).sum(), 1e-300) else 0.0
    )
