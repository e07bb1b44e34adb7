"""Means of classes, and of their bootstrap samples."""

from __future__ import annotations

import numpy as np


def class_means(x: np.ndarray, of: np.ndarray, m: int) -> np.ndarray:
    """(m, d) means of the rows `x` (n, d) of each class `of` (n,); 0 for a class without rows. O(n m d)."""
    counts = np.bincount(of, minlength=m)
    return ((of[:, None] == np.arange(m)).T.astype(float) @ x) / np.maximum(counts, 1)[:, None]


def resampled_means(x: np.ndarray, of: np.ndarray, m: int, draws: int, rng) -> np.ndarray:
    """Means (draws, m, d) of rows drawn again inside their classes: at least 40 draws, fewer than asked for where they
    would take more than 5e7 numbers."""
    draws = int(np.clip(5e7 / (m * x.shape[1]), 40, draws))
    out = np.empty((draws, m, x.shape[1]))
    for c in range(m):
        mine = x[of == c]
        out[:, c] = rng.multinomial(len(mine), np.full(len(mine), 1 / len(mine)), draws) / len(mine) @ mine
    return out
