"""Householder reflections, H = I - 2 v vᵀ / |v|², their products, and matrices as such products.

A reflection is orthogonal and symmetric with eigenvalues -1 once and 1 otherwise, so its determinant is -1 and that of
a product of k is (-1)^k. Every orthonormal frame of k columns is the first k columns of such a product, up to signs.

References: A. Householder (1958); Y. Song et al. (2023), "Householder projector".
"""

from __future__ import annotations

import numpy as np


def reflected(v: np.ndarray, x: np.ndarray) -> np.ndarray:
    """H x of the direction `v` (d,) and the columns of `x` (d, m); x itself where v is 0."""
    square = float(v @ v)
    return x - (2.0 / square) * np.outer(v, v @ x) if square > 0 else x.copy()


def product(vectors: np.ndarray) -> np.ndarray:
    """(d, d) H_1 … H_k of the rows of `vectors` (k, d). O(k d²)."""
    out = np.eye(vectors.shape[1])
    for v in vectors[::-1]:
        out = reflected(v, out)
    return out


def reflections_of(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`vectors` (k, d) and `signs` (k,) with (H_1 … H_k)[:, :k] · signs = `frame` (d, k) of orthonormal columns. O(d
    k²).

    Column by column: H_j takes what is left of column j to the axis j, with the sign that avoids cancellation.
    """
    left, (d, k) = frame.copy(), frame.shape
    vectors, signs = np.zeros((k, d)), np.ones(k)
    for j in range(k):
        column = np.r_[np.zeros(j), left[j:, j]]
        signs[j] = -1.0 if column[j] > 0 else 1.0
        vectors[j] = column
        vectors[j, j] -= signs[j] * np.linalg.norm(column)
        left = reflected(vectors[j], left)
    return vectors, signs


def defect(values: np.ndarray) -> float:
    """|WᵀW / mean - I| / sqrt(k) from the singular values (k,) of W: 0 where all are equal, sqrt(k - 1) at rank 1."""
    square = values**2
    return float(np.sqrt(((square / square.mean() - 1) ** 2).mean()))


def change_to_orthogonal(values: np.ndarray) -> float:
    """|W - s U Vᵀ| / |W| with the best scale s, from the singular values (k,): what equal singular values would
    change."""
    return float(np.sqrt(max(0.0, 1 - values.sum() ** 2 / (len(values) * (values**2).sum()))))


def equal_blocks(values: np.ndarray, tolerance: float) -> np.ndarray:
    """Block number (k,) of falling singular values: a block ends where one is below (1 - `tolerance`) times the first
    of it."""
    out, first = np.zeros(len(values), np.int64), values[0]
    for i in range(1, len(values)):
        new = values[i] < (1 - tolerance) * first
        out[i] = out[i - 1] + new
        first = values[i] if new else first
    return out
