"""The nearest points on a map (two or three coordinates), exactly and with ties by index, by a k-d tree."""

from __future__ import annotations

import numpy as np

SPARE = 13  # a point of a square lattice has at most 12 others at one of its first distances


def nearest_on_map(low: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices (n, k) int32 and distances (n, k) float64 of the k nearest other points, ties to the lower index.

    low : (n, 2 or 3) finite float64, n > k. Time O(n k log n) plus O(n) for each place whose ties do not fit into
    `SPARE` more neighbours (thousands of points at one place are done once).
    """
    from scipy.spatial import cKDTree

    n = len(low)
    asked = min(n, k + 1 + SPARE)
    away, found = cKDTree(low, balanced_tree=False, compact_nodes=False).query(low, asked, workers=-1)
    unsure = np.zeros(n, bool) if asked == n else away[:, k] >= away[:, -1]
    order = np.lexsort((found, away), axis=1) if _any_tie(away) else None
    if order is not None:
        away, found = (np.take_along_axis(a, order, axis=1) for a in (away, found))
    itself = found == np.arange(n)[:, None]
    # a place with many points may have answered without the point that asked: it is unsure, and done below
    itself[~itself.any(axis=1), -1] = True
    indices = found[~itself].reshape(n, asked - 1)[:, :k].astype(np.int32)
    distances = away[~itself].reshape(n, asked - 1)[:, :k]
    if unsure.any():
        _resolve(low, np.flatnonzero(unsure), indices, distances)
    return np.ascontiguousarray(indices), np.ascontiguousarray(distances)


def _any_tie(away: np.ndarray) -> bool:
    return bool((away[:, 1:] == away[:, :-1]).any())


def _resolve(low: np.ndarray, rows: np.ndarray, indices: np.ndarray, distances: np.ndarray) -> None:
    """The answer of some rows by looking at every point, once for each place."""
    k = indices.shape[1]
    place = np.unique(low[rows], axis=0, return_inverse=True)[1].reshape(-1)
    members = np.argsort(place, kind="stable")
    for mine in np.split(members, np.cumsum(np.bincount(place))[:-1]):
        away = np.sqrt(((low - low[rows[mine[0]]]) ** 2).sum(axis=1))
        reach = np.partition(away, k)[k]
        near = np.flatnonzero(away < reach)
        near = np.append(near, np.flatnonzero(away == reach)[: k + 1 - len(near)])
        near = near[np.argsort(away[near], kind="stable")]
        for row in rows[mine]:
            own = near[near != row][:k]
            indices[row], distances[row] = own, away[own]
