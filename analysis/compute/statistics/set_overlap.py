"""Overlap of sets drawn from d things: Jaccard's index, and what random sets of the same sizes have.

J = |A ∩ B| / |A ∪ B|; of two empty sets 0. For random sets of a and b out of d things the shared number K is
hypergeometric and J = K / (a + b - K), so that mean and tail are sums over K.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln


def jaccard(sets: np.ndarray) -> np.ndarray:
    """(k, k) overlaps of `sets` (k, d) bool; 1 on the diagonal unless the set is empty. O(k² d)."""
    members = sets.astype(np.float64)
    shared, sizes = members @ members.T, members.sum(axis=1)
    union = sizes[:, None] + sizes - shared
    return np.divide(shared, union, out=np.zeros_like(union), where=union > 0)


def shared_by_chance(a: int, b: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """The possible numbers of shared things, rising, and their probabilities, for random sets of a and b out of d."""
    k = np.arange(max(0, a + b - d), min(a, b) + 1)
    return k, np.exp(_choose(a, k) + _choose(d - a, b - k) - _choose(d, b))


def jaccard_by_chance(sizes: np.ndarray, d: int) -> np.ndarray:
    """(k, k) expected overlap of random sets of these sizes (k,); the diagonal is that of two such sets."""
    return _of_sizes(sizes, lambda a, b: _expected(a, b, d))


def overlap_p(sets: np.ndarray) -> np.ndarray:
    """(k, k) chance that random sets of the same sizes share as much (hypergeometric tail). O(k² d)."""
    members = sets.astype(np.float64)
    shared, sizes = np.rint(members @ members.T).astype(int), sets.sum(axis=1)
    out = np.ones(shared.shape)
    for i, j in zip(*np.triu_indices(len(sizes)), strict=True):
        k, chance = shared_by_chance(int(sizes[i]), int(sizes[j]), sets.shape[1])
        out[i, j] = out[j, i] = min(float(chance[k >= shared[i, j]].sum()), 1.0)
    return out


def random_sets(sizes: np.ndarray, d: int, rng: np.random.Generator) -> np.ndarray:
    """(k, d) bool: one random set of each size (k,)."""
    ranks = rng.permuted(np.tile(np.arange(d), (len(sizes), 1)), axis=1)
    return ranks < np.asarray(sizes)[:, None]


def _expected(a: int, b: int, d: int) -> float:
    if a + b == 0:
        return 0.0
    k, chance = shared_by_chance(a, b, d)
    return float((chance * k / (a + b - k)).sum())


def _of_sizes(sizes: np.ndarray, value) -> np.ndarray:
    """(k, k) of `value` (a, b), each pair of different sizes once."""
    kinds, of = np.unique(sizes, return_inverse=True)
    table = np.array([[value(int(a), int(b)) for b in kinds] for a in kinds])
    return table[np.ix_(of.reshape(-1), of.reshape(-1))]


def _choose(n, k) -> np.ndarray:
    """ln of n over k."""
    return gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)
