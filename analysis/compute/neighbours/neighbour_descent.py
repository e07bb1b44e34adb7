"""Approximate neighbours of very many points: a forest of random-projection trees, then neighbour descent.

Trees (Dasgupta & Freund 2008) split the points by the plane between two of them; points of one leaf are compared.
Then "a neighbour of a neighbour is likely a neighbour" (Dong, Charikar & Li 2011): every point is compared with the
neighbours of a sample of its neighbours, round after round, until hardly a list changes. Distances found are exact;
what may be wrong is that a neighbour is missing. Deterministic for a seed, whatever the number of threads.
Starts Numba.
"""

from __future__ import annotations

import numpy as np

from analysis.compute.row_threads import row_threads
from analysis.spec import Progress, no_progress

TREES, LEAF, ROUNDS, ENOUGH = 8, 64, 8, 0.002
MOST_CANDIDATES = 24


def descended_nearest(
    points: np.ndarray,
    k: int,
    seed: int = 0,
    *,
    threads: int | None = None,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> tuple[np.ndarray, np.ndarray]:
    """Indices (n, k) int64 and squared distances (n, k) float64, nearest first, each point itself left out.

    points : (n, d) finite float64, n > k. Time about O(n^1.14 d), memory O(n (d + k)).
    """
    from analysis.compute.neighbours import descent_kernels as kernels

    n = len(points)
    low = points.astype(np.float32)
    wide = min(k + 4, n - 1)  # a few more than asked for: they are the way to the others
    ids = np.full((n, wide), -1, np.int32)
    squares, fresh = np.full(ids.shape, np.float32(3e38)), np.zeros(ids.shape, np.uint8)
    width = min(ids.shape[1], MOST_CANDIDATES)
    new, old = np.empty((n, width), np.int32), np.empty((n, width), np.int32)
    new_keys, old_keys, changed = np.empty((n, width)), np.empty((n, width)), np.zeros(n, np.int64)
    share = (span[1] - span[0]) / (TREES + ROUNDS)
    with row_threads(n, threads) as run:
        for tree in range(TREES):
            progress(span[0] + share * tree, "growing search trees")
            order, edges = np.empty(n, np.int32), np.empty(n + 1, np.int64)
            leaves = kernels.grow_tree(low, np.uint64(seed * TREES + tree), LEAF, order, edges)
            _over_leaves(run, kernels.join_leaves, low, order, edges, leaves, ids, squares, fresh)
        for turn in range(ROUNDS):
            progress(span[0] + share * (TREES + turn), "descending to neighbours")
            mark = np.uint64(seed * ROUNDS + turn)
            run(kernels.choose_candidates, ids, fresh, mark, new, new_keys, old, old_keys)
            run(kernels.grow_old, ids, fresh, new)
            run(kernels.descend, low, new, old, ids, squares, fresh, changed)
            if changed.sum() <= ENOUGH * n * k:
                break
    return _in_order(points, ids, k)


def _over_leaves(run, part, low, order, edges, leaves: int, *lists) -> None:
    """Leaves in threads: a range of rows of the tree's order becomes the leaves that start in it."""

    def some(start: int, stop: int) -> None:
        first, last = np.searchsorted(edges[:leaves], (start, stop))
        part(low, order, edges, *lists, first, last)

    run(some)


def _in_order(points: np.ndarray, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of the found ones by exact distance, ties to the lower index; gaps filled with any points."""
    n = len(points)
    indices, squares = np.empty((n, k), np.int64), np.empty((n, k))
    for start in range(0, n, 4096):
        found = ids[start : start + 4096].astype(np.int64)
        rows = np.arange(start, start + len(found))
        for i in np.flatnonzero((found < 0).any(axis=1)):
            missing = np.setdiff1d(np.arange(min(n, 2 * found.shape[1] + 2)), [*found[i], rows[i]])
            found[i, found[i] < 0] = missing[: (found[i] < 0).sum()]
        away = np.empty(found.shape)
        for s in range(0, len(rows), 256):
            difference = points[found[s : s + 256]] - points[rows[s : s + 256], None]
            away[s : s + 256] = np.einsum("ijk,ijk->ij", difference, difference)
        order = np.lexsort((found, away), axis=1)[:, :k]
        indices[rows] = np.take_along_axis(found, order, axis=1)
        squares[rows] = np.take_along_axis(away, order, axis=1)
    return indices, squares
