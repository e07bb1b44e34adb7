"""How often the nearest other samples vote for a sample's own class."""

from __future__ import annotations

import numpy as np


def nearest(x: np.ndarray, k: int) -> np.ndarray:
    """(n, min(k, n - 1)) other rows of `x` (n, d) in order of their distance, ties by number. O(n² d), memory n²."""
    x = x - x.mean(axis=0)
    norms = (x**2).sum(axis=1)
    away = norms[:, None] + norms - 2 * x @ x.T
    np.fill_diagonal(away, np.inf)
    return np.argsort(away, axis=1, kind="stable")[:, : min(k, len(x) - 1)]


def voted(near: np.ndarray, of: np.ndarray) -> float:
    """Share of rows whose class (n,) most of their `near` (n, k) have; ties go to the class with the lower number."""
    votes = (of[near][:, :, None] == np.arange(of.max() + 1)).sum(axis=1)
    return float((votes.argmax(axis=1) == of).mean())
