"""How alike is the place of each single sample among the others in two representations?

With centred Gram matrices K and L, the alignment of sample i is Pearson's correlation of (K_ij) and (L_ij) over j != i:
whether the same other samples lie in its direction. 1 where one representation is the other up to rotation, shift and
scale; about 0 for exchanged samples.
"""

from __future__ import annotations

import numpy as np
from scipy.special import stdtr


def gram(x: np.ndarray) -> np.ndarray:
    """Centred Gram matrix (n, n) of `x` (n, d), largest entry 1. O(n² d)."""
    x = x - x.mean(axis=0)
    x /= np.abs(x).max() or 1.0
    k = x @ x.T
    return k / (np.abs(k).max() or 1.0)


def alignment_of_each(k: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n,) alignment of every sample from two Gram matrices (n, n); 0 where a row does not vary. O(n²)."""
    n = len(k)
    rows = []
    for m in (k, other):
        mean = (m.sum(axis=1) - np.diag(m)) / (n - 1)
        m = m - mean[:, None]
        np.fill_diagonal(m, 0.0)
        rows.append(m)
    a, b = rows
    own, others = np.einsum("ij,ij->i", a, a), np.einsum("ij,ij->i", b, b)
    scale = np.sqrt(own * others)
    good = scale > 1e-20
    found = np.divide(np.einsum("ij,ij->i", a, b), scale, out=np.zeros(n), where=good)
    return np.clip(found, -1.0, 1.0)


def larger_p(x: np.ndarray, y: np.ndarray) -> float:
    """One-sided p of Welch's test that the mean of `x` is larger than that of `y`, two values or more in each; 1 where
    neither varies and x is not larger."""
    a, b = x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)
    gap = float(x.mean() - y.mean())
    if a + b <= 1e-30:
        return 0.0 if gap > 1e-12 else 1.0
    freedom = (a + b) ** 2 / (a**2 / (len(x) - 1) + b**2 / (len(y) - 1))
    return float(stdtr(freedom, -gap / np.sqrt(a + b)))
