"""Clusters from a spanning tree of densities (HDBSCAN): the tree of all density levels, without its splinters.

Cutting the spanning tree at a falling distance h splits a component; a part smaller than min_size is not a cluster
but points that leave. With density 1 / h, the stability of a cluster is the sum over its points of (density at which
the point leaves - density at which the cluster appeared); the clusters taken are those whose sum is largest such
that none lies in another ("excess of mass"), never the whole data.

*Prominence* of a split: the distance at which two parts come apart over the median distance at which the points of
a part leave, for the part where that ratio is smaller. 1: the parts are as far apart as their points.

Equal points have density 1 / 0: their distance counts as half the smallest one above 0. Distances that differ by less
than 1e-9 of themselves are equal: rounding must not decide what is split first.

Reference: R. Campello, D. Moulavi, A. Zimek & J. Sander (2015), "Hierarchical density estimates for data
clustering, visualization, and outlier detection".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EQUAL = 1e-9


@dataclass(frozen=True)
class DensityClusters:
    """`codes` (n,) int32, largest cluster first, -1 for noise; `strength` (n,) in [0, 1], how deep in its cluster a
    point lies; `birth` (k,) the distance at which each cluster comes apart from the rest; `stability` (k,);
    `apart` (k, k) the distance at which two clusters become one; `prominence` of the clearest split, 1 without."""

    codes: np.ndarray
    strength: np.ndarray
    birth: np.ndarray
    stability: np.ndarray
    prominence: float


@dataclass
class _Tree:
    """`parent`, `birth` by cluster (0 is everything); `leaves` (n,) the cluster each point leaves and `at` (n,) the
    distance at which it does."""

    parent: list
    birth: list
    leaves: np.ndarray
    at: np.ndarray


def density_clusters(edges: np.ndarray, weights: np.ndarray, min_size: int) -> DensityClusters:
    """Clusters of at least `min_size` points from a spanning tree, edges (n - 1, 2) by rising weights (n - 1,).
    O(n α(n))."""
    positive = weights[weights > 0]
    floor = positive[0] / 2 if len(positive) else 1.0
    tree = _condensed(edges, _levelled(np.maximum(weights, floor)), min_size)
    k = len(tree.parent)
    parent, birth = np.array(tree.parent), np.array(tree.birth)
    inside = np.zeros(
        k
    )  # sum over points of 1 / h at which they leave; points of children leave at their birth
    np.add.at(inside, tree.leaves, 1 / tree.at)
    size = np.bincount(tree.leaves, minlength=k).astype(float)
    for c in range(k - 1, 0, -1):
        inside[parent[c]] += size[c] / birth[c]
        size[parent[c]] += size[c]
    own = inside - size / birth
    chosen = _most_mass(own, parent)
    home = _home(chosen, parent)
    codes = home[tree.leaves]
    kept = np.flatnonzero(chosen)
    order = np.lexsort((kept, -np.bincount(codes[codes >= 0], minlength=k)[kept]))
    kept = kept[order]
    number = np.full(k + 1, -1, np.int32)
    number[kept] = np.arange(len(kept))
    codes = number[codes]
    strength = _strength(codes, tree.at, len(kept))
    return DensityClusters(codes, strength, birth[kept], own[kept], _prominence(tree, parent, birth))


def _levelled(weights: np.ndarray) -> np.ndarray:
    """Rising weights (m,) with each run of nearly equal ones set to its first."""
    new = np.r_[True, weights[1:] > weights[:-1] * (1 + EQUAL)][: len(weights)]
    return weights[new][np.cumsum(new) - 1]


def _condensed(edges, weights, min_size: int) -> _Tree:
    left, right, size = _merges(edges)
    n = len(edges) + 1
    of = np.full(2 * n - 1, -1)  # cluster of a node, or the one it has left
    gone = np.zeros(2 * n - 1)  # distance at which a node left; 0 while it is inside
    tree = _Tree([0], [np.inf], np.zeros(n, np.int64), np.zeros(n))
    of[-1] = 0
    for node in range(2 * n - 2, n - 1, -1):
        if of[node] < 0:  # done with its parent, at the same distance
            continue
        h, c = weights[node - n], of[node]
        if gone[node]:
            for child in (left[node - n], right[node - n]):
                of[child], gone[child] = c, gone[node]
            continue
        parts = _parts(node, n, h, left, right, weights)
        several = sum(size[p] >= min_size for p in parts) > 1
        for p in parts:
            of[p] = c
            if size[p] < min_size:
                gone[p] = h
            elif several:
                of[p] = len(tree.parent)
                tree.parent.append(c)
                tree.birth.append(h)
    tree.leaves, tree.at = of[:n], np.where(gone[:n] > 0, gone[:n], weights[0] if len(weights) else 1.0)
    return tree


def _parts(node: int, n: int, h: float, left, right, weights) -> list[int]:
    """What falls apart at the distance `h`: two parts, more where distances are equal (so that the order of the
    rows decides nothing)."""
    parts, stack = [], [left[node - n], right[node - n]]
    while stack:
        x = stack.pop()
        if x >= n and weights[x - n] == h:
            stack += [left[x - n], right[x - n]]
        else:
            parts.append(x)
    return parts


def _merges(edges):
    """Children of each merge (n - 1,) twice and the size of each node (2 n - 1,), as SciPy numbers them."""
    n = len(edges) + 1
    parent = list(range(2 * n - 1))
    size = [1] * n + [0] * (n - 1)
    left, right = [0] * (n - 1), [0] * (n - 1)
    for i, (a, b) in enumerate(edges.tolist()):
        ends = []
        for x in (a, b):
            top = x
            while parent[top] != top:
                top = parent[top]
            while parent[x] != top:
                parent[x], x = top, parent[x]
            ends.append(top)
        left[i], right[i] = ends
        parent[ends[0]] = parent[ends[1]] = n + i
        size[n + i] = size[ends[0]] + size[ends[1]]
    return left, right, size


def _most_mass(own: np.ndarray, parent: np.ndarray) -> np.ndarray:
    """(k,) bool: the clusters whose stabilities add up to most, none inside another, never the first."""
    below, best, chosen = np.zeros(len(own)), own.copy(), np.ones(len(own), bool)
    chosen[0] = False
    for c in range(len(own) - 1, 0, -1):
        if below[c] > own[c]:
            best[c], chosen[c] = below[c], False
        below[parent[c]] += best[c]
    taken = np.zeros(len(own), bool)
    for c in range(1, len(own)):  # parents come before their children
        taken[c] = taken[parent[c]] or chosen[c]
        chosen[c] &= not taken[parent[c]]
    return chosen


def _home(chosen: np.ndarray, parent: np.ndarray) -> np.ndarray:
    """The chosen cluster that each cluster lies in, -1 for none."""
    home = np.full(len(chosen), -1)
    for c in range(1, len(chosen)):
        home[c] = c if chosen[c] else home[parent[c]]
    return home


def _strength(codes: np.ndarray, at: np.ndarray, k: int) -> np.ndarray:
    """1 for the densest point of a cluster, 1 / its own distance over the smallest for the others, 0 for noise."""
    densest = np.full(k + 1, np.inf)
    np.minimum.at(densest, codes, at)  # -1 is the last entry
    return np.where(codes >= 0, densest[codes] / at, 0.0).astype(np.float32)


def _prominence(tree: _Tree, parent: np.ndarray, birth: np.ndarray) -> float:
    """The clearest split's prominence. Points of a cluster lie together in an order by the tree."""
    k = len(parent)
    if k == 1:
        return 1.0
    enter, leave, clock = np.zeros(k, np.int64), np.zeros(k, np.int64), 0
    children: list[list[int]] = [[] for _ in range(k)]
    for c in range(1, k):
        children[parent[c]].append(c)
    stack = [(0, False)]
    while stack:
        c, back = stack.pop()
        if back:
            leave[c] = clock
            continue
        enter[c] = clock
        clock += 1
        stack.append((c, True))
        stack.extend((x, False) for x in children[c])
    place = enter[tree.leaves]
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], [enter, leave])
    clearest = 1.0
    for pair in (x for x in children if x):
        ratios = [birth[c] / np.median(tree.at[order[starts[0][c] : starts[1][c]]]) for c in pair]
        clearest = max(clearest, min(ratios))
    return float(clearest)
