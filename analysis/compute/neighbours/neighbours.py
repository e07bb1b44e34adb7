"""Exact k nearest neighbours (`neighbour_graph` keeps them, and finds approximate ones for very many points).

Candidates come from chunked float32 matrix products of the centred points; their distances are then computed
again in float64 from differences. Where float32 cannot prove that no neighbour was missed (near-ties, duplicates,
large offsets), the row is done again in float64 against the distinct points. Ties go to the lower index, so the
answer is one and the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.arrays import as_matrix
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.spec import Progress, no_progress

METRICS = ("euclidean", "cosine")
BLOCK_BYTES = 64 << 20  # of one block of distances
TILES_FROM = 4e9  # n² d from which torch and Numba are worth starting
TREE_UNITS, TREE_FROM = 3, 1000  # at most so many coordinates of at least so many points: by a k-d tree


@dataclass(frozen=True)
class Neighbours:
    """`indices` (n, k) int64 and `distances` (n, k) float64, nearest first, each point itself left out.

    `n_zero` counts zero vectors (cosine only) and `n_exact` the rows that had to be done again in float64.
    """

    indices: np.ndarray
    distances: np.ndarray
    n_zero: int = 0
    n_exact: int = 0


def as_points(x: np.ndarray, metric: str = "euclidean", *, overwrite: bool = False) -> tuple[np.ndarray, int]:
    """Centred float64 points whose Euclidean distances stand for `metric`, and the number of zero vectors.

    `overwrite` : nobody else needs `x`, and its memory may be theirs.

    Cosine distance 1 - cos is half the squared distance of unit vectors. A zero vector has no direction: it is
    given an axis of its own, so that it lies at 1 from every other vector and at 0 from another zero vector.

    Raises ParameterError for another metric and InputError for NaN or infinity.
    """
    if metric not in METRICS:
        raise ParameterError(f"metric {metric!r}", "one of " + ", ".join(METRICS))
    x = (np.asarray if overwrite else np.array)(as_matrix(x, "points"), dtype=np.float64)
    if not np.isfinite(x).all():
        raise InputError("the points hold NaN or infinity", "finite coordinates", "Drop those rows first")
    n_zero = 0
    if metric == "cosine":
        largest = np.abs(x).max(axis=1, keepdims=True)  # scaled first: squares of tiny numbers vanish
        x /= np.where(largest > 0, largest, 1.0)
        norms = np.linalg.norm(x, axis=1, keepdims=True)
        zero = norms[:, 0] == 0
        n_zero = int(zero.sum())
        x /= np.where(norms > 0, norms, 1.0)
        if n_zero:
            x = np.hstack([x, zero[:, None].astype(np.float64)])
    x -= np.median(x[:: max(1, len(x) // 500)], axis=0)  # a mean would be dragged away by one far outlier
    x += 0.0  # -0.0 and 0.0 are the same point
    return x, n_zero


def near_one(points: np.ndarray, out: np.ndarray | None = None) -> tuple[np.ndarray, float]:
    """`points` (n, d) over a power of two, so that the largest coordinate lies in [0.5, 1), and that power.

    No digit is lost, and no square overflows or vanishes: float32 holds squares of 1e-22 to 1e19 only. `out` : where
    they go, `points` itself if nobody else needs them.
    """
    largest = max(points.max(initial=0.0), -points.min(initial=0.0))
    exponent = int(np.frexp(largest)[1])
    if abs(exponent) < 1000:  # the same without a library call for each number
        return np.multiply(points, np.ldexp(1.0, -exponent), out=out), float(np.ldexp(1.0, exponent))
    return np.ldexp(points, -exponent, out=out), float(np.ldexp(1.0, exponent))


def nearest(
    x: np.ndarray,
    k: int,
    metric: str = "euclidean",
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
    *,
    overwrite: bool = False,
) -> Neighbours:
    """The k nearest other points of each point.

    Parameters
    ----------
    x : (n, d) finite array of any float dtype.
    k : int, 1 <= k < n.
    metric : "euclidean" or "cosine"
    overwrite : bool
        Nobody else needs `x`: its memory is used.

    Raises
    ------
    NotEnoughData
        Fewer than k + 1 points.
    InputError, ParameterError
        NaN or infinity; an unknown metric; k < 1.

    Notes
    -----
    Time O(n² d) in matrix products, memory O(n d + n k) plus a block of 64 MiB. Where that is much, torch and Numba
    are started (`exact_tiles`); up to three coordinates take O(n k log n) by a k-d tree. The answer is the same.
    """
    points, n_zero = as_points(x, metric, overwrite=overwrite)
    points, scale = near_one(points, out=points) if metric == "euclidean" else (points, 1.0)
    n = len(points)
    if k < 1:
        raise ParameterError(f"k = {k}", "at least 1")
    if n <= k:
        raise NotEnoughData(f"{n} point(s) for {k} neighbours", f"at least {k + 1}", "Use fewer neighbours")
    if points.shape[1] <= TREE_UNITS and n >= TREE_FROM:
        indices, squares, unsure = *_by_tree(points, k, progress, span), np.empty(0, np.int64)
    elif float(n) * n * points.shape[1] >= TILES_FROM:
        from analysis.compute.neighbours.exact_tiles import tiled_nearest

        indices, squares, unsure = tiled_nearest(points, k, progress, span)
    else:
        indices, squares, unsure = _candidates(points, k, progress, span)
    if len(unsure):
        indices[unsure], squares[unsure] = _exact(points, unsure, k, progress, span)
    distances = squares / 2 if metric == "cosine" else np.sqrt(squares) * scale
    return Neighbours(indices, distances, n_zero, len(unsure))


def search_bytes(n: int, d: int, k: int) -> float:
    """Peak memory of `nearest` of n points in d dimensions beside the points: a block of scores with their order, and
    the coordinates of some rows' candidates with their differences."""
    taken = min(n, k + max(10, k // 2))
    return (
        12.0 * min(BLOCK_BYTES / 8, float(n) * n)
        + 16.0 * min(float(1 << 20), float(n) * taken * d)
        + 12.0 * n * d
    )


def _candidates(points, k, progress, span):
    """Neighbours by float32 products, checked in float64, and the rows where the check proves nothing."""
    n, d = points.shape
    taken = min(n - 1, k + max(10, k // 2))
    low = points.astype(np.float32)
    norms = np.einsum("ij,ij->i", low, low, dtype=np.float64)
    # rounding moves |y|² / 2 - x·y by at most (d + 8) ε (|x|² + |y|²) / 2: taking y's part off here turns the
    # score into a lower bound, so that one far outlier does not make every other row doubtful
    slack = (d + 8) * np.finfo(np.float32).eps
    half = (norms / 2 * (1 - slack)).astype(np.float32)
    indices, squares = np.empty((n, k), np.int64), np.empty((n, k))
    unsure = []
    step = max(1, BLOCK_BYTES // (8 * n))
    for start in range(0, n, step):
        progress(span[0] + (span[1] - span[0]) * start / n, "finding neighbours")
        rows = np.arange(start, min(start + step, n))
        score = half - low[rows] @ low.T  # half the squared distance, up to a constant per row
        score[np.arange(len(rows)), rows] = np.inf
        chosen = np.argpartition(score, taken - 1, axis=1)[:, :taken]
        exact = _squares(points, rows, chosen)
        order = np.lexsort((chosen, exact), axis=1)[:, :k]
        indices[rows] = np.take_along_axis(chosen, order, axis=1)
        squares[rows] = np.take_along_axis(exact, order, axis=1)
        if taken < n - 1:
            outside = np.take_along_axis(score, chosen, axis=1).max(axis=1).astype(np.float64)
            bound = 2 * outside + norms[rows] * (1 - slack)  # nothing left out can be nearer
            unsure.append(rows[squares[rows, -1] >= bound])
    return indices, squares, np.concatenate(unsure) if unsure else np.empty(0, np.int64)


def _by_tree(points: np.ndarray, k: int, progress: Progress, span) -> tuple[np.ndarray, np.ndarray]:
    from analysis.compute.neighbours.map_neighbours import nearest_on_map

    progress(span[0], "finding neighbours")
    chosen = nearest_on_map(points, k)[0].astype(np.int64)
    squares = _squares(points, np.arange(len(points)), chosen)
    order = np.lexsort((chosen, squares), axis=1)
    return np.take_along_axis(chosen, order, axis=1), np.take_along_axis(squares, order, axis=1)


def _squares(points: np.ndarray, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Squared distances (m, c) of each row to its own candidates, from differences in float64."""
    out = np.empty(others.shape)
    step = max(1, (8 << 20) // (8 * points.shape[1] * others.shape[1]))
    for i in range(0, len(rows), step):
        difference = points[others[i : i + step]] - points[rows[i : i + step], None]
        out[i : i + step] = np.einsum("ijk,ijk->ij", difference, difference)
    return out


def _exact(points, rows, k, progress, span):
    """The same for some rows, in float64 against the distinct points (equal points are done once)."""
    group, first = distinct(points)
    members = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[members], np.arange(len(first) + 1))
    unique = points[first]
    norms = np.einsum("ij,ij->i", unique, unique)
    slack = (points.shape[1] + 8) * np.finfo(np.float64).eps
    indices, squares = np.empty((len(rows), k), np.int64), np.empty((len(rows), k))
    by_group = np.argsort(group[rows], kind="stable")
    cuts = np.flatnonzero(np.diff(group[rows][by_group])) + 1
    for count, mine in enumerate(np.split(by_group, cuts)):
        if count % 64 == 0:
            progress(span[1], "resolving ties")
        g = group[rows[mine[0]]]
        square = np.maximum(norms - 2 * (unique @ unique[g]) + norms[g], 0.0)
        near = _within(square, np.diff(starts), k + 1, slack * (np.sqrt(norms) + np.sqrt(norms[g])) ** 2)
        true = ((unique[near] - unique[g]) ** 2).sum(axis=1)
        found = np.concatenate([members[starts[j] : starts[j + 1]] for j in near])
        away = np.repeat(true, np.diff(starts)[near])
        order = np.lexsort((found, away))
        for i in mine:
            own = order[: k + 1]
            own = own[found[own] != rows[i]][:k]
            indices[i], squares[i] = found[own], away[own]
    return indices, squares


def _within(square: np.ndarray, counts: np.ndarray, k: int, slack: np.ndarray) -> np.ndarray:
    """Groups that may hold one of the k nearest members, given `square` up to `slack`."""
    order = np.argsort(square, kind="stable")
    enough = int(np.searchsorted(np.cumsum(counts[order]), k))
    reach = (square + slack)[order[: enough + 1]].max()
    return np.flatnonzero(square - slack <= reach)


def distinct(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Group number (n,) of each row and the first row of each group; equal bytes are one group. O(n d log n)."""
    rows = np.ascontiguousarray(points)
    whole = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
    _, first, group = np.unique(whole, return_index=True, return_inverse=True)
    return group.reshape(-1), first
