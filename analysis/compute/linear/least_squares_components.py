"""Partial least squares by SIMPLS: directions of largest covariance with a response, scores uncorrelated."""

from __future__ import annotations

import numpy as np


def simpls(x: np.ndarray, y: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (d, k) and response loadings (c, k) of the centred `x` (n, d) and `y` (n, c).

    Scores x @ weights are orthonormal columns (de Jong 1993), so the fitted response is scores @ loadingsᵀ. Fewer
    columns where the covariance is used up. Time O(k n d + d c min(d, c)).
    """
    s = x.T @ y
    start = np.linalg.norm(s)
    weights, loadings, basis = [], [], []
    for _ in range(k):
        if start == 0 or np.linalg.norm(s) <= 1e-10 * start:
            break
        r = np.linalg.svd(s, full_matrices=False)[0][:, 0]
        t = x @ r
        length = np.linalg.norm(t)
        if length <= 1e-12 * np.linalg.norm(x):
            break
        t, r = t / length, r / length
        p = x.T @ t
        for _ in range(2):  # twice is enough for orthogonality in floating point
            for v in basis:
                p = p - v * (v @ p)
        p /= np.linalg.norm(p)
        basis.append(p)
        s = s - np.outer(p, p @ s)
        r = r * np.sign(r[np.abs(r).argmax()])
        weights.append(r)
        loadings.append(y.T @ (x @ r))
    if not weights:
        return np.zeros((x.shape[1], 0)), np.zeros((y.shape[1], 0))
    return np.stack(weights, axis=1), np.stack(loadings, axis=1)
