"""In which order the lines of a heat map are drawn, and the tree of their groups.

Average linkage on 1 - similarity, exact up to 4,096 lines. Beyond, in two stages: k-means on lines of unit length
gives groups of about 64; average linkage orders the groups, by the mean similarity of their members (each group
counted once), and then the members inside each group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.arrays import upper

EXACT = 4096
SINGLE = (
    512  # lines up to which every line is a group of its own, and leaves are ordered optimally (cubic time)
)
DRAWN = 128  # groups of a larger tree
MEMBERS = 64  # of a group on average
ROUNDS = 12


@dataclass(frozen=True)
class DrawingOrder:
    """`order` (p,) int64; the tree of the drawn groups, `linkage` (g - 1, 4), leaves numbered in drawing order, with
    group k the lines groups[k]:groups[k + 1]; `note`, a caveat or ""."""

    order: np.ndarray
    linkage: np.ndarray | None = None
    groups: np.ndarray | None = None
    note: str = ""


def order_by(keys: np.ndarray) -> DrawingOrder:
    """By falling value; ties stay as stored."""
    return DrawingOrder(np.argsort(-np.asarray(keys, np.float64), kind="stable").astype(np.int64))


def order_by_similarity(similarity: np.ndarray) -> DrawingOrder:
    """Average linkage on 1 - `similarity` (p, p), p <= 4,096. Time O(p²), up to 512 lines O(p³)."""
    p = len(similarity)
    if p < 3:
        return DrawingOrder(np.arange(p))
    from scipy.cluster.hierarchy import leaves_list, linkage

    distance = np.maximum(upper(1.0 - similarity), 0.0)
    tree = linkage(distance, method="average", optimal_ordering=p <= SINGLE)
    order = leaves_list(tree).astype(np.int64)
    return DrawingOrder(order, *top_of(tree, order, p if p <= SINGLE else DRAWN))


def order_by_features(
    features: np.ndarray, signed: bool, rng: np.random.Generator, made_from: str = ""
) -> DrawingOrder:
    """Lines (p, k) of unit length (or 0) by their products; with `signed` False by the products' magnitudes.
    `made_from` says in the note what the lines are.

    Exact up to 4,096 lines, else in two stages. Time O(p k (p / 64)), memory O(p k).
    """
    p = len(features)
    if p <= EXACT:
        return order_by_similarity(_products(features, signed))
    group, turned = _groups(features, -(-p // MEMBERS), signed, rng)
    found = np.unique(group)
    if len(found) < 2:
        return DrawingOrder(np.arange(p))
    middles = np.array([turned[group == g].mean(axis=0, dtype=np.float64) for g in found])
    among = order_by_similarity(_products(middles, signed))
    pieces = []
    for g in found[among.order]:
        mine = np.flatnonzero(group == g)
        pieces.append(mine[order_by_features(features[mine], signed, rng).order] if len(mine) < p else mine)
    ends = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])])
    source = f", from {made_from}" if made_from else ""
    note = (
        f"{p:,} lines are ordered in two stages ({len(found)} groups by k-means, then average linkage of the groups "
        f"and inside each){source}: neighbours belong together, the tree shows groups only."
    )
    groups = ends if among.groups is None else ends[among.groups]
    return DrawingOrder(np.concatenate(pieces), among.linkage, groups.astype(np.int64), note)


def top_of(tree: np.ndarray, order: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The last `most` - 1 merges of a SciPy linkage (p - 1, 4) as a linkage over groups that are numbered in drawing
    order, and the groups' ends (g + 1,)."""
    p = len(order)
    g = min(most, p)
    place = np.empty(p, np.int64)
    place[order] = np.arange(p)
    first = np.append(place, np.zeros(p - 1, np.int64))
    for k, (a, b) in enumerate(tree[:, :2].astype(np.int64)):
        first[p + k] = min(first[a], first[b])
    merges, below = tree[p - g :], 2 * p - g  # nodes below this number are groups, or inside one
    children = merges[:, :2].astype(np.int64)
    roots = children[children < below] if g > 1 else np.array([2 * p - 2])
    roots = roots[np.argsort(first[roots], kind="stable")]
    number = {int(node): k for k, node in enumerate(roots)}
    named = np.array([[number.get(int(c), c - below + g) for c in pair] for pair in children], float)
    linkage = np.column_stack([named.reshape(-1, 2), merges[:, 2], _sizes(named.reshape(-1, 2), g)])
    return linkage, np.append(first[roots], p)


def _sizes(children: np.ndarray, g: int) -> np.ndarray:
    size = np.append(np.ones(g), np.zeros(len(children)))
    for k, (a, b) in enumerate(children.astype(np.int64)):
        size[g + k] = size[a] + size[b]
    return size[g:]


def _products(features: np.ndarray, signed: bool) -> np.ndarray:
    r = np.asarray(features @ features.T, np.float64)
    return r if signed else np.abs(r, out=r)


def _groups(features: np.ndarray, k: int, signed: bool, rng) -> tuple[np.ndarray, np.ndarray]:
    """Spherical k-means: the group of each line (p,), and the lines, turned towards their group where signs do not
    count. A group that lost all its lines takes the line that fits its own worst."""
    x = np.asarray(features, np.float32)
    middles = x[rng.choice(len(x), k, replace=False)]
    group = np.full(len(x), -1)
    for _ in range(ROUNDS):
        fit = x @ middles.T
        size = fit if signed else np.abs(fit)
        now = size.argmax(axis=1)
        best = np.take_along_axis(fit, now[:, None], axis=1)[:, 0]
        turned = x if signed else x * np.where(best < 0, -1, 1).astype(np.float32)[:, None]
        counts = np.bincount(now, minlength=k)
        if (now == group).all():
            break
        group = now
        order = np.argsort(now, kind="stable")
        there = np.flatnonzero(counts)
        sums = np.zeros((k, x.shape[1]), np.float32)
        sums[there] = np.add.reduceat(turned[order], np.searchsorted(now[order], there), axis=0)
        sums[counts == 0] = turned[np.argsort(np.abs(best), kind="stable")[: (counts == 0).sum()]]
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        middles = np.divide(sums, length, out=np.zeros_like(sums), where=length > 0)
    return group, turned
