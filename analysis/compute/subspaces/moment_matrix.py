"""The moment matrix of a point cloud with features, and the span of its columns, which rigid motion leaves as it is.

    M (K, 4), row k = [Σ_i f_k(i), Σ_i f_k(i) x_iᵀ]        f_k(i) feature k of point i, x_i its place

Under x' = R x + t with the features of a point unchanged, M' = M [[1, tᵀ], [0, Rᵀ]]: other columns, the same span.
Any invertible affine map does the same.
"""

from __future__ import annotations

import numpy as np

from analysis.compute.subspaces.angles import principal_angles
from analysis.compute.subspaces.random_subspaces import random_angles


def moment_matrix(features: np.ndarray, places: np.ndarray) -> np.ndarray:
    """M (K, 1 + D) of `features` (n, K) at `places` (n, D), float64. O(n K D)."""
    at = np.column_stack([np.ones(len(places)), np.asarray(places, np.float64)])
    return np.asarray(features, np.float64).T @ at


def moment_basis(features: np.ndarray, places: np.ndarray, tolerance: float = 1e-8) -> np.ndarray:
    """(K, r) orthonormal basis of the span of M's columns; r is 1 + D, less where points or features are too few to
    span that.

    Places are centred and turned to their own axes of one size first: that changes M's columns, not their span, and
    keeps the digits that a cloud far from the origin would cost."""
    x = np.asarray(places, np.float64)
    x = x - x.mean(axis=0)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    m = moment_matrix(features, u[:, s > tolerance * max(s[0] if len(s) else 0.0, 1e-300)] * np.sqrt(len(x)))
    size = np.linalg.norm(m, axis=0)
    m = m[:, size > 0] / size[size > 0]
    if not m.shape[1]:
        return np.zeros((len(m), 0))
    u, s, _ = np.linalg.svd(m, full_matrices=False)
    return u[:, s > tolerance * s[0]]


def largest_angle(a: np.ndarray, b: np.ndarray) -> float:
    """In degrees, of two orthonormal bases; 90 where one is empty."""
    return float(np.degrees(principal_angles(a, b)[-1])) if min(a.shape[1], b.shape[1]) else 90.0


def angles_beside_chance(bases, rng, draws: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, N) angles in degrees, what random subspaces have on average, and the chance that these are as near."""
    n, drawn = len(bases), {}
    values, null, p = np.zeros((n, n)), np.zeros((n, n)), np.ones((n, n))
    for i in range(n):
        for j in range(i + 1, n):
            size = (bases[i].shape[1], bases[j].shape[1])
            if size not in drawn:
                drawn[size] = np.degrees(random_angles(*size, len(bases[i]), rng, draws)[:, -1])
            values[i, j] = values[j, i] = largest_angle(bases[i], bases[j])
            null[i, j] = null[j, i] = drawn[size].mean()
            p[i, j] = p[j, i] = (1 + (drawn[size] <= values[i, j]).sum()) / (1 + draws)
    return values, null, p
