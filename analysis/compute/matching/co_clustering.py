"""Clusters of rows and columns at once: a spectral cut of the bipartite graph whose weights a matrix holds.

With weights A >= 0 (p, q), row sums D and column sums E, the singular vectors of D^(-1/2) A E^(-1/2) after the first
(whose value is 1 and which says nothing) relax the normalised cut of rows and columns into k parts: rows are placed at
D^(-1/2) U, columns at E^(-1/2) V, and k-means finds the parts among both together. All k - 1 vectors are used where the
original takes ceil(log2 k) of them: the gap that chose k is behind the (k - 1)-th.

The cut does not see how large the weights are: noise, however small, has parts too. Whether there is anything to cut is
asked of the `joint_values`, the singular values of what sums of rows and columns leave of A, which shrink with it.

References: I. Dhillon (2001), "Co-clustering documents and words using bipartite spectral graph partitioning";
M. Barber (2007), "Modularity and community detection in bipartite networks".
"""

from __future__ import annotations

import numpy as np

from analysis.compute.clusters.kmeans import kmeans


def normalised(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """D^(-1/2) A E^(-1/2) (p, q), and the scales D^(-1/2) (p,), E^(-1/2) (q,); 0 where nothing weighs."""
    rows, columns = (_root(weights.sum(axis=axis)) for axis in (1, 0))
    return weights * rows[:, None] * columns, rows, columns


def _root(sums: np.ndarray) -> np.ndarray:
    return np.where(sums > 0, 1 / np.sqrt(np.where(sums > 0, sums, 1.0)), 0.0)


def cut_values(weights: np.ndarray) -> np.ndarray:
    """Singular values of the normalised weights after the first, falling: none is above 1; 1 for a part that hangs
    together with nothing else. O(p q min(p, q))."""
    return np.linalg.svd(normalised(weights)[0], compute_uv=False)[1:]


def joint_values(weights: np.ndarray) -> np.ndarray:
    """Singular values of A - D E' / (sum of A), over sqrt(p q), falling: all 0 where rows and columns differ by factors
    only. O(p q min(p, q))."""
    rows, columns, total = weights.sum(axis=1), weights.sum(axis=0), weights.sum()
    rest = weights - np.outer(rows, columns) / (total if total > 0 else 1.0)
    return np.linalg.svd(rest, compute_uv=False) / np.sqrt(weights.size)


def clusters_by_gap(values: np.ndarray, above: int, most: int) -> int:
    """How many parts: before the widest gap among the first `above` of the `cut_values`; one where that is 0."""
    above = min(above, most - 1, len(values))
    if above == 0:
        return 1
    gaps = values[:above] - np.append(values, 0.0)[1 : above + 1]
    return int(gaps.argmax()) + 2


def co_clusters_of(weights: np.ndarray, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cluster of each row (p,) and column (q,), from 0, largest first; k is cut to min(p, q)."""
    p, q = weights.shape
    k = min(k, p, q)
    if k < 2:
        return np.zeros(p, np.int32), np.zeros(q, np.int32)
    matrix, rows, columns = normalised(weights)
    u, _, v = np.linalg.svd(matrix, full_matrices=False)
    points = np.vstack([u[:, 1:k] * rows[:, None], v[1:k].T * columns[:, None]])
    codes = kmeans(points / np.abs(points).max(), k, rng).codes
    return codes[:p], codes[p:]


def share_inside(weights: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> float:
    """The share of all weight that lies between rows and columns of one cluster."""
    total = weights.sum()
    return float(weights[rows[:, None] == columns].sum() / total) if total > 0 else 0.0


def modularity(weights: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> float:
    """The share inside less what the sums of rows and columns alone would put there (Barber): 0 for one cluster, and on
    average for weights that know nothing of clusters, whatever their sizes."""
    total = weights.sum()
    if total <= 0:
        return 0.0
    k = int(max(rows.max(), columns.max())) + 1
    a, b = (np.bincount(c, weights.sum(axis=axis), k) for c, axis in ((rows, 1), (columns, 0)))
    return share_inside(weights, rows, columns) - float(a @ b) / float(total) ** 2


def contrast(weights: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> float:
    """Mean weight inside the clusters less that outside; 0 where there is no outside or no inside."""
    inside = rows[:, None] == columns
    if inside.all() or not inside.any():
        return 0.0
    return float(weights[inside].mean() - weights[~inside].mean())
