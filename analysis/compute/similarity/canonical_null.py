"""Canonical correlations of representations that have nothing in common.

When the samples of one side are exchanged, Σ ρ² has the mean p q / (n - 1), whatever the data, and a variance that is
known exactly (`exchange_moments`): mean ρ² of unrelated data is max(p, q) / (n - 1). The correlations one by one are
those of random subspaces of p and q of n - 1 dimensions, which they are exactly where one side is Gaussian: their
squares follow the Jacobi ensemble, drawn here through its bidiagonal model (A. Edelman & B. Sutton 2008, "The
beta-Jacobi matrix model, the CS decomposition, and generalized singular value problems"), which takes O(min(p, q)²)
for a draw and does not depend on n. Where p + q > n - 1, p + q - n + 1 of them are 1, and the others are those of the
complements.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigvalsh_tridiagonal

from analysis.compute.similarity.canonical import forced


def null_correlations(p: int, q: int, n: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """ρ (draws, min(p, q)), each draw falling, of random subspaces of p and q of n - 1 dimensions."""
    space, ones = n - 1, forced(p, q, n)
    a, b = min(p, q), max(p, q)
    if ones:
        a, b = space - b, space - a
    squares = np.ones((draws, ones + a))
    for i in range(draws if a else 0):
        squares[i, ones:] = eigvalsh_tridiagonal(*_jacobi(a, b, space, rng))[::-1]
    return np.sqrt(np.clip(squares, 0.0, 1.0))


def largest_correlations(p: int, q: int, n: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """The largest ρ (draws,) of random subspaces of p and q of n - 1 dimensions. O(draws min(p, q))."""
    if forced(p, q, n):
        return np.ones(draws)
    k = min(p, q)
    squares = [
        eigvalsh_tridiagonal(*_jacobi(k, max(p, q), n - 1, rng), select="i", select_range=(k - 1, k - 1))[0]
        for _ in range(draws)
    ]
    return np.sqrt(np.clip(squares, 0.0, 1.0))


def _jacobi(p: int, q: int, space: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Diagonal (p,) and off-diagonal (p - 1,) of B Bᵀ, whose eigenvalues are the squares; p <= q, p + q <= space. B
    has the diagonal c_i s'_i (s'_p = 1), i = p .. 1, and above it -s_i c'_(i-1), with s² = 1 - c²."""
    i = np.arange(p, 0, -1)
    c = rng.beta((q - p + i) / 2, (space - p - q + i) / 2)
    d = rng.beta(i[1:] / 2, (space - 2 * p + 1 + i[1:]) / 2)
    diagonal = c * np.append(1.0, 1 - d)
    diagonal[:-1] += (1 - c[:-1]) * d
    return diagonal, -np.sqrt((1 - c[:-1]) * d * c[1:] * (1 - d))
