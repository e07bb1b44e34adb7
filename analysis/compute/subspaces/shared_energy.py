"""How much of one energy lies along the leading directions of another, and how much would by chance.

An energy is a symmetric, positive semi-definite matrix C (d, d): a covariance, or W Wᵀ of weights W whose columns are
vectors of the d units. Its share inside a subspace with projection P of rank k is tr(P C) / tr C. For a uniformly
random subspace, with λ the eigenvalues of C,

    mean k / d,    variance 2 k (d - k) / (d (d - 1) (d + 2)) (Σ λ² - (Σ λ)² / d) / (Σ λ)²

exactly; for a projection C it is the variance of the overlap of two random subspaces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Energy:
    """`values` (d,) falling with sum 1 and `axes` (d, d), columns."""

    values: np.ndarray
    axes: np.ndarray

    @classmethod
    def of(cls, matrix: np.ndarray) -> Energy:
        """O(d³). The matrix is not 0."""
        values, axes = np.linalg.eigh(matrix)
        values = np.maximum(values[::-1], 0.0)
        return cls(values / values.sum(), axes[:, ::-1])

    def along(self, directions: np.ndarray) -> np.ndarray:
        """(k,) share of this energy along each of `directions` (d, k), orthonormal columns. O(d² k)."""
        return self.values @ (self.axes.T @ directions) ** 2


def share_by_chance(k: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation, shaped as `k`, of the share of an energy with eigenvalues `values` (d,) inside a random
    subspace of dimension `k`."""
    d, total = len(values), values.sum()
    uneven = max(float((values**2).sum() / total**2 - 1.0 / d), 0.0)
    variance = 2.0 * k * (d - k) / (d * max(d - 1, 1) * (d + 2)) * uneven
    return k / d, np.sqrt(variance)
