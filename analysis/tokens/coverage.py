"""Where on the picture nothing is left: the largest hole, cells without a survivor around them, and user boxes.

    hole       side of the largest square of cells without a survivor
    bare       share of cells with none among the cells at most one row and one column away
    recall     share of the tokens of a box that are left

Of N cells, k of them kept at random, a cell with m cells around it (itself among them) is bare with probability
C(N - m, k) / C(N, k), and the recall of any box is k / N.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from analysis.tokens.boxes import rectangles_of
from analysis.tokens.view import TokenLayout


@dataclass(frozen=True)
class Cells:
    """Of B samples: `there` (B, F, R, C) bool, cells with a free token, on F frames of R rows and C columns; `place`
    (B, T) int, the cell of each token among all of them, -1 where it has none."""

    there: np.ndarray
    place: np.ndarray

    def of(self, tokens: np.ndarray) -> np.ndarray:
        """(B, F, R, C) bool: cells of the tokens (B, T) bool."""
        flat = np.zeros((len(tokens), self.there[0].size + 1), bool)
        rows = np.arange(len(tokens))[:, None]
        flat[rows, np.where(tokens & (self.place >= 0), self.place, self.there[0].size)] = True
        return flat[:, :-1].reshape(self.there.shape)


def cells_of(layout: TokenLayout) -> Cells:
    """The cells of the free tokens; without a grid one row with the tokens in order."""
    free = layout.free
    if layout.grid is None:
        place = np.where(free, np.cumsum(free, axis=1) - 1, -1)
        shape = (1, 1, max(int(free.sum(axis=1).max(initial=0)), 1))
    else:
        place = np.where(free, layout.cell, -1)
        shape = (layout.frames, layout.grid[0] // layout.frames, layout.grid[1])
    empty = Cells(np.zeros((len(free), *shape), bool), place)
    return Cells(empty.of(free), place)


def around(cells: np.ndarray) -> np.ndarray:
    """(B, F, R, C) int: how many cells are set among those at most one row and one column away."""
    padded = np.pad(cells.astype(np.int64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    rows, columns = cells.shape[2:]
    return sum(padded[:, :, i : i + rows, j : j + columns] for i in range(3) for j in range(3))


def bare(there: np.ndarray, left: np.ndarray) -> np.ndarray:
    """(B,) share of the cells that are there with nothing left around them."""
    found = there & (around(left) == 0)
    return found.sum(axis=(1, 2, 3)) / np.maximum(there.sum(axis=(1, 2, 3)), 1)


def chance_bare(there: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """(B,) the mean of that with `kept` (B,) cells at random."""
    n, m = there.sum(axis=(1, 2, 3)).astype(float), around(there).astype(float)
    n4, k4 = n[:, None, None, None], np.asarray(kept, float)[:, None, None, None]
    can = there & (n4 - m >= k4)
    rest = np.where(can, n4 - m, k4)
    log = gammaln(rest + 1) - gammaln(rest - k4 + 1) - gammaln(n4 + 1) + gammaln(n4 - k4 + 1)
    return np.where(can, np.exp(log), 0).sum(axis=(1, 2, 3)) / np.maximum(n, 1)


def hole(there: np.ndarray, left: np.ndarray) -> np.ndarray:
    """(B,) side of the largest square of cells that are there and not left. In one row: the longest run."""
    empty = there & ~left
    if empty.shape[2] == 1:
        return _longest(empty)
    side = np.zeros((*empty.shape[:2], empty.shape[2] + 1, empty.shape[3] + 1), int)
    for i in range(empty.shape[2]):
        for j in range(empty.shape[3]):
            least = np.minimum(np.minimum(side[:, :, i, j + 1], side[:, :, i + 1, j]), side[:, :, i, j])
            side[:, :, i + 1, j + 1] = np.where(empty[:, :, i, j], least + 1, 0)
    return side.max(axis=(1, 2, 3))


def _longest(empty: np.ndarray) -> np.ndarray:
    run = np.zeros(empty.shape[:2], int)
    best = run.copy()
    for j in range(empty.shape[3]):
        run = np.where(empty[:, :, 0, j], run + 1, 0)
        best = np.maximum(best, run)
    return best.max(axis=1)


def boxes_of(text: str, rows: int, columns: int) -> np.ndarray | None:
    """(R, C) bool: cells inside any of the boxes "2-4, 3-5; 6, 1-7" (rows, columns; counted from 1); None of "".

    Raises ParameterError where that is no box, or one that is not on the picture.
    """
    inside = np.zeros((rows, columns), bool)
    boxes = rectangles_of(text, rows, columns)
    for top, low, first, last in boxes:
        inside[top : low + 1, first : last + 1] = True
    return inside if boxes else None
