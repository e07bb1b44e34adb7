"""A quantity over the grid that two sample columns make: means of its cells, and what exchanging the places gives.

Exchanged over all samples, a cell of m of the n samples has the mean of all on average, exactly; exchanged inside each
original only, the mean over its samples of their originals' means. Its deviation over the draws makes cells comparable:
the largest of all standardised differences in a draw is what the largest one seen must exceed (Westfall & Young 1993),
which holds for all cells together, whatever their dependence.

References: P. Westfall & S. Young (1993), "Resampling-based multiple testing"; T. Nichols & A. Holmes (2002),
"Nonparametric permutation tests for functional neuroimaging" (the largest statistic of a map).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.rows.column_places import Places, explained
from analysis.compute.statistics.nulls import add_one_p
from analysis.spec import Progress

DRAWS = 999
FEWEST = 5  # samples in a cell that is compared with others
LEVEL = 0.05


@dataclass(frozen=True)
class ColumnGrid:
    """`samples` (m,) that have a place in both columns, and their `cell` (m,), row * columns + column; `shape`."""

    samples: np.ndarray
    cell: np.ndarray
    shape: tuple[int, int]

    @property
    def counts(self) -> np.ndarray:
        """(cells,) samples in each cell."""
        return np.bincount(self.cell, minlength=self.shape[0] * self.shape[1])


@dataclass(frozen=True)
class GridTest:
    """`expected` (cells,) mean of each cell under exchange; `stands_out` (cells,) bool; `share` explained by the cells
    and its `drawn_share` (draws,); the `highest` cell among those `compared` (cells,) bool, and the largest mean of
    these in each draw, `drawn_highest` (draws,); the p of both, `p_share` and `p_highest`."""

    expected: np.ndarray
    stands_out: np.ndarray
    share: float
    drawn_share: np.ndarray
    compared: np.ndarray
    highest: int
    drawn_highest: np.ndarray
    p_share: float
    p_highest: float


def grid_of(down: Places | None, across: Places, n: int) -> ColumnGrid:
    """Of `n` samples; without `down` there is one row."""
    row, column = (np.full(n, -1) for _ in range(2))
    column[across.samples] = across.of
    if down is None:
        row[:] = 0
    else:
        row[down.samples] = down.of
    samples = np.flatnonzero((row >= 0) & (column >= 0))
    shape = (1 if down is None else len(down.x), len(across.x))
    return ColumnGrid(samples, row[samples] * shape[1] + column[samples], shape)


def grid_test(
    values: np.ndarray, grid: ColumnGrid, within: np.ndarray | None, rng: np.random.Generator, progress: Progress,
    span: tuple[float, float],
) -> GridTest:  # fmt: skip
    """Of `values` (m,); with `within` (m,) exchanges stay among the samples of one original. O(999 (m + cells))."""
    of = np.unique(within.astype(str), return_inverse=True)[1].reshape(-1) if within is not None else None
    counts, filled = grid.counts, grid.counts > 0
    compared = counts >= FEWEST if (counts >= FEWEST).any() else filled
    share, means = np.empty(DRAWS), np.empty((DRAWS, len(counts)))
    compact = (np.cumsum(filled) - 1)[grid.cell]
    for i, turned in enumerate(_exchanged(values, of, rng)):
        if i % 100 == 0:
            progress(span[0] + (span[1] - span[0]) * i / DRAWS, "exchanging places")
        share[i] = explained(turned, compact)
        means[i] = _means(turned, grid.cell, counts)
    own = _means(values, grid.cell, counts)
    expected = _means(_means_of(values, of)[of] if of is not None else np.full(len(values), values.mean()),
                      grid.cell, counts)  # fmt: skip
    spread = means.std(axis=0)
    rounding = 1e-12 * max(float(np.abs(values).max()), 1e-300)
    usable = compared & (spread > rounding)
    off, drawn = (
        np.divide(np.abs(m - expected), spread, out=np.zeros(m.shape), where=usable) for m in (own, means)
    )
    bound = np.quantile(drawn.max(axis=1), 1 - LEVEL, method="higher")
    # rounding must not tell an exchange that changes nothing from the data
    highest, top = int(np.where(compared, own, -np.inf).argmax()), means[:, compared].max(axis=1)
    explains = explained(values, compact)
    return GridTest(
        expected, usable & (off > bound), explains, share, compared, highest, top,
        float(add_one_p(explains - 1e-12, share)), float(add_one_p(own[highest] - rounding, top)),
    )  # fmt: skip


def cell_means(values: np.ndarray, grid: ColumnGrid, otherwise: float) -> np.ndarray:
    """(cells,) mean of `values` (m,) in each cell, `otherwise` in cells without a sample."""
    counts = grid.counts
    return np.where(counts > 0, _means(values, grid.cell, counts), otherwise)


def _means(values: np.ndarray, cell: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.bincount(cell, values, len(counts)) / np.maximum(counts, 1)


def _means_of(values: np.ndarray, of: np.ndarray) -> np.ndarray:
    return np.bincount(of, values) / np.bincount(of)


def _exchanged(values: np.ndarray, of: np.ndarray | None, rng: np.random.Generator):
    """Yield `values` (m,) at random, over all samples or inside each of the groups `of` (m,)."""
    if of is None:
        for _ in range(DRAWS):
            yield rng.permutation(values)
        return
    order = np.argsort(of, kind="stable")
    for _ in range(DRAWS):
        turned = np.empty_like(values)
        turned[order] = values[np.lexsort((rng.random(len(of)), of))]
        yield turned
