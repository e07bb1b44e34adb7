"""The minimum spanning tree of mutual reachability distances: what density clusters are read from.

Mutual reachability of two points: the largest of their distance and their two core distances (to the min_samples-th
neighbour, the point itself counted as the first). Borůvka's rounds over the shared neighbour graph; a point is
compared with all others only where its listed neighbours cannot prove that nothing nearer lies outside.

Reference: R. Campello, D. Moulavi & J. Sander (2013), "Density-based clustering based on hierarchical density
estimates".
"""

from __future__ import annotations

import numpy as np

from analysis.compute.neighbours.neighbours import nearest
from analysis.compute.rows.metric_space import squared_distances
from analysis.spec import Progress, no_progress

SMALL = 3000  # points whose distances are kept as one matrix
BLOCK_BYTES = 64 << 20
LISTED = 24
CANCELLED = 1e-9  # of |x|² + |y|²: below, |x|² + |y|² - 2 x·y is mostly rounding


def spanning_tree(
    points: np.ndarray,
    min_samples: int,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> tuple[np.ndarray, np.ndarray]:
    """Edges (n - 1, 2) int64 and their mutual reachability (n - 1,), rising.

    points : (n, d) finite centred float64, n >= 2. Time O(n² d); memory O(n d + n k), below 3,000 points O(n²).
    """
    min_samples = min(min_samples, len(points))
    if len(points) <= SMALL:
        progress(span[0], "measuring densities")
        edges, weights = _prim(_reachability(points, min_samples))
    else:
        edges, weights = _boruvka(points, min_samples, progress, span)
    order = np.lexsort((edges.max(axis=1), edges.min(axis=1), weights))
    return edges[order], weights[order]


def _reachability(points: np.ndarray, min_samples: int) -> np.ndarray:
    away = squared_distances(points, points)
    norms = np.einsum("ij,ij->i", points, points)
    first, second = np.nonzero(away < CANCELLED * (norms[:, None] + norms))
    step = max(1, BLOCK_BYTES // (8 * points.shape[1]))
    for start in range(0, len(first), step):  # nearly equal points: the product has lost their difference
        i, j = first[start : start + step], second[start : start + step]
        away[i, j] = ((points[i] - points[j]) ** 2).sum(axis=1)
    np.sqrt(away, out=away)
    core = np.partition(away, min_samples - 1, axis=1)[:, min_samples - 1]
    return np.maximum(np.maximum(away, core[:, None], out=away), core[None, :], out=away)


def _prim(away: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Prim's tree of a full matrix (n, n)."""
    n = len(away)
    edges, weights = np.zeros((n - 1, 2), np.int64), np.zeros(n - 1)
    best, via = away[0].copy(), np.zeros(n, np.int64)
    best[0] = np.inf
    open_ = np.ones(n, bool)
    open_[0] = False
    for i in range(n - 1):
        j = int(best.argmin())
        edges[i], weights[i] = (via[j], j), best[j]
        open_[j], best[j] = False, np.inf
        nearer = (away[j] < best) & open_
        best[nearer], via[nearer] = away[j, nearer], j
    return edges, weights


def _boruvka(points, min_samples: int, progress: Progress, span) -> tuple[np.ndarray, np.ndarray]:
    n = len(points)
    middle = span[0] + 0.6 * (span[1] - span[0])
    graph = nearest(points, min(n - 1, max(min_samples, LISTED)), progress=progress, span=(span[0], middle))
    core = graph.distances[:, min_samples - 2] if min_samples > 1 else np.zeros(n)
    listed = np.maximum(np.maximum(graph.distances, core[:, None]), core[graph.indices])
    reach = np.maximum(graph.distances[:, -1], core)  # nothing unlisted is nearer than this
    of, edges, weights = np.arange(n), [], []
    while len(weights) < n - 1:
        done = len(weights) / (n - 1)
        progress(middle + done * (span[1] - middle), "joining dense regions")
        away = np.where(of[graph.indices] == of[:, None], np.inf, listed)
        column = away.argmin(axis=1)
        best, other = away[np.arange(n), column], graph.indices[np.arange(n), column]
        lowest = np.full(n, np.inf)
        np.minimum.at(lowest, of, best)
        unsure = np.flatnonzero(reach < lowest[of])
        _search(points, core, of, unsure, best, other)
        of = _joined(of, best, other, edges, weights)
    return np.array(edges), np.array(weights)


def _search(points, core, of, rows, best, other) -> None:
    """Put the true nearest point of another component into `best` and `other` for the given rows."""
    step = max(1, BLOCK_BYTES // (16 * len(points)))
    for start in range(0, len(rows), step):
        mine = rows[start : start + step]
        away = np.sqrt(squared_distances(points[mine], points))
        np.maximum(np.maximum(away, core[mine, None], out=away), core, out=away)
        away[of[mine, None] == of] = np.inf
        found = away.argmin(axis=1)
        true = np.linalg.norm(points[mine] - points[found], axis=1)
        best[mine] = np.maximum(np.maximum(true, core[mine]), core[found])
        other[mine] = found


def _joined(of, best, other, edges: list, weights: list) -> np.ndarray:
    """One round: each component's lightest edge, by weight and then by its ends; the new component of each point."""
    rows = np.arange(len(of))
    low, high = np.minimum(rows, other), np.maximum(rows, other)
    order = np.lexsort((high, low, best, of))
    first = order[np.flatnonzero(np.r_[True, np.diff(of[order]) != 0])]
    first = first[np.lexsort((high[first], low[first], best[first]))]
    parent = {int(c): int(c) for c in np.unique(of)}

    def root(c: int) -> int:
        while parent[c] != c:
            parent[c] = parent[parent[c]]
            c = parent[c]
        return c

    for i in first:
        a, b = root(int(of[i])), root(int(of[other[i]]))
        if a != b:  # equal edges of two components would close a ring
            parent[max(a, b)] = min(a, b)
            edges.append((int(low[i]), int(high[i])))
            weights.append(float(best[i]))
    final = np.arange(len(of))
    for c in parent:
        final[c] = root(c)
    return final[of]
