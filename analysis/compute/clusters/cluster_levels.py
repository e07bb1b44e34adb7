"""Coarse groups of clusters, so that a map can name them from afar: cuts of the tree in which clusters join."""

from __future__ import annotations

import numpy as np

STEP = 3  # a level has about a third of the groups of the finer one
FEWEST = 3  # groups of the coarsest level


def levels(centres: np.ndarray) -> np.ndarray:
    """(levels, k) int32 group of each cluster, coarse to fine, from the centres (k, d) joined by Ward's rule; the last
    level is the clusters themselves, and fewer than five clusters have no other. O(k² d)."""
    k = len(centres)
    fine = np.arange(k, dtype=np.int32)
    if k < 2 * FEWEST - 1:
        return fine[None]
    from scipy.cluster.hierarchy import fcluster, linkage  # a fifth of a second to import

    tree = linkage(centres, "ward")
    found, wanted = [fine], k // STEP
    while wanted >= FEWEST:
        groups = _numbered(fcluster(tree, wanted, "maxclust"))
        if 1 < groups.max() + 1 < found[-1].max() + 1:
            found.append(groups)
        wanted //= STEP
    return np.array(found[::-1], dtype=np.int32).reshape(-1, k)


def _numbered(groups: np.ndarray) -> np.ndarray:
    """Numbers from 0 in order of appearance, so that the group of the largest cluster is 0."""
    _, first, number = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number.reshape(-1)].astype(np.int32)
