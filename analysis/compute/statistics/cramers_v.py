"""Cramér's V: how far two sets of classes go together, 0 unrelated, 1 where one determines the other.

V = sqrt(X² / (n (min(p, q) - 1))), X² Pearson's statistic of their table (H. Cramér 1946).
"""

from __future__ import annotations

import numpy as np


def cramers_v(one: np.ndarray, two: np.ndarray) -> float:
    """Of class numbers `one` and `two` (n,); 0 where either has a single class. O(n + p q)."""
    if not len(one):
        return 0.0
    _, a = np.unique(one, return_inverse=True)
    _, b = np.unique(two, return_inverse=True)
    counts = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(counts, (a, b), 1)
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / len(one)
    freedom = min(counts.shape) - 1
    return (
        float(np.sqrt(((counts - expected) ** 2 / expected).sum() / (len(one) * freedom))) if freedom else 0.0
    )
