"""Does an arrangement follow an expected order: on a ring (months, keys, digits modulo n) or along a line?"""

from __future__ import annotations

import numpy as np


def ring_correlation(angles: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Length in [0, 1] of the mean of exp(i (angle - expected)) over the last axis, the better of both senses of
    rotation: 1 for the same ring however turned or mirrored. Also which sense (1 or -1)."""
    same = np.abs(np.exp(1j * (angles - expected)).mean(axis=-1))
    mirrored = np.abs(np.exp(1j * (angles + expected)).mean(axis=-1))
    return np.maximum(same, mirrored), np.where(same >= mirrored, 1, -1)


def line_correlation(values: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Magnitude of Spearman's rank correlation over the last axis; 0 where nothing varies."""
    from scipy.stats import rankdata  # a third of a second to import

    a, b = rankdata(values, axis=-1), rankdata(expected, axis=-1)
    a, b = a - a.mean(axis=-1, keepdims=True), b - b.mean(axis=-1, keepdims=True)
    scale = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    return np.abs(np.divide((a * b).sum(axis=-1), scale, out=np.zeros(np.shape(scale)), where=scale > 0))


def order_distance(m: int, cyclic: bool) -> np.ndarray:
    """(m, m) steps between places in the order; around the ring, the shorter way."""
    steps = np.abs(np.arange(m)[:, None] - np.arange(m)).astype(float)
    return np.minimum(steps, m - steps) if cyclic else steps


def cosines(means: np.ndarray) -> np.ndarray:
    """(m, m) cosines between the rows of `means` (m, d), 0 with a zero row."""
    length = np.linalg.norm(means, axis=1)
    scale = np.outer(length, length)
    return np.divide(means @ means.T, scale, out=np.zeros_like(scale), where=scale > 0)


def order_fall(similarity: np.ndarray, distance: np.ndarray) -> float:
    """Spearman's correlation over pairs between similarity (m, m) and nearness in the order, -distance (m, m)."""
    i, j = np.triu_indices(len(similarity), 1)
    from scipy.stats import rankdata

    a, b = rankdata(similarity[i, j]), rankdata(-distance[i, j])
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a**2).sum() * (b**2).sum())
    return float(a @ b / scale) if scale else 0.0
