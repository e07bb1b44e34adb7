"""Families of features by the rows that they share: a maximum spanning forest, general above specific.

Features that share more rows than independent ones are joined with the weight log (n_ij n / (n_i n_j)), the lower end
of its interval; of these pairs the spanning forest of the largest sum is kept. Each edge points from the feature that
is active more often to the other; where a feature hangs on several denser ones, the heaviest edge names its parent. So
everybody has at most one parent, who is denser, and there are no circles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Families:
    """Of k features: `parent` (k,) or -1, `together` (k,) rows shared with it, `weight` (k,) of that edge, `root` (k,)
    the head of its family, `depth` (k,); `edges` (m, 2) all of the forest, `weights` (m,)."""

    parent: np.ndarray
    together: np.ndarray
    weight: np.ndarray
    root: np.ndarray
    depth: np.ndarray
    edges: np.ndarray
    weights: np.ndarray


def families(
    first: np.ndarray, second: np.ndarray, count: np.ndarray, low: np.ndarray, fires: np.ndarray
) -> Families:
    """Of the pairs `first`, `second` (p,), each once, with `count` common rows and the lower end `low` > 0 of the log
    of these over the expected ones; `fires` (k,) rows of each feature. O(p log p)."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    k = len(fires)
    cost = low.max(initial=0.0) + 1.0 - low  # positive, the smaller the heavier
    tree = minimum_spanning_tree(csr_array((cost, (first, second)), (k, k))).tocoo()
    edges = np.column_stack([tree.row, tree.col]).astype(np.int64)
    keys, wanted = first.astype(np.int64) * k + second, edges[:, 0] * k + edges[:, 1]
    order = np.argsort(keys, kind="stable")
    at = order[np.searchsorted(keys, wanted, sorter=order)]
    parent, together, weight = np.full(k, -1), np.zeros(k, np.int64), np.zeros(k)
    rank = np.empty(k, np.int64)
    rank[np.argsort(-fires, kind="stable")] = np.arange(k)  # ties by number: nobody is his own ancestor
    for (a, b), i in zip(edges, at, strict=True):
        above, below = (a, b) if rank[a] < rank[b] else (b, a)
        if parent[below] < 0 or low[i] > weight[below]:
            parent[below], together[below], weight[below] = above, count[i], low[i]
    root, depth = np.arange(k), np.zeros(k, np.int64)
    for j in np.argsort(rank):
        if parent[j] >= 0:
            root[j], depth[j] = root[parent[j]], depth[parent[j]] + 1
    return Families(parent, together, weight, root, depth, edges, low[at])
