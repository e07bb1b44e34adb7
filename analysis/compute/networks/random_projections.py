"""Random subspaces and the energy that they keep: mean k / d, Beta(k / 2, (d - k) / 2) for any vector."""

from __future__ import annotations

import numpy as np


def random_basis(d: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """(d, k) orthonormal columns of a uniformly random k-dimensional subspace."""
    return np.linalg.qr(rng.standard_normal((d, k)))[0]


def energy_kept(x: np.ndarray, q: np.ndarray) -> np.ndarray:
    """(n,) ‖Qᵀx‖² / ‖x‖² of rows `x` (n, d); 0 where x is 0."""
    whole = np.square(x).sum(axis=1)
    return np.where(whole > 0, np.square(x @ q).sum(axis=1) / np.where(whole > 0, whole, 1.0), 0.0)


def energy_variance(k: int, d: int) -> float:
    """Variance of Beta(k / 2, (d - k) / 2), 0 where all is kept."""
    return 2.0 * k * (d - k) / (d**2 * (d + 2.0))
