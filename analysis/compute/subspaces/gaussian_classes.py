"""Classes as diagonal Gaussians, and how far two of them are apart.

    W₂² = |μ_1 - μ_2|² + |σ_1 - σ_2|²

for Gaussians whose covariances are diagonal (Dowson & Landau 1982; Olkin & Pukelsheim 1982): 0 only for equal ones.
The harmonic mean 2 S U / (S + U) of two accuracies is at most twice the smaller and 0 where either is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class DiagonalGaussians:
    """`means` and `deviations` (C, d)."""

    means: np.ndarray
    deviations: np.ndarray


def gaussians_of(
    x: np.ndarray, of: np.ndarray, classes: int, variances: np.ndarray | None = None
) -> DiagonalGaussians:
    """Of the classes `of` (n,) of samples `x` (n, d). Where a sample is itself a Gaussian with `variances` (n, d), the
    class has the moments of their mixture: the mean variance and the variance of the means."""
    onehot = (of == np.arange(classes)[:, None]).astype(np.float64)
    onehot /= np.maximum(onehot.sum(axis=1, keepdims=True), 1)
    means = onehot @ x
    spread = onehot @ (x - means[of]) ** 2
    if variances is not None:
        spread = spread + onehot @ variances
    return DiagonalGaussians(means, np.sqrt(np.maximum(spread, 0.0)))


def wasserstein(one: DiagonalGaussians, two: DiagonalGaussians) -> np.ndarray:
    """(C_1, C_2) 2-Wasserstein distances. O(C_1 C_2 d)."""
    out = np.empty((len(one.means), len(two.means)))
    for i in range(len(out)):
        out[i] = ((one.means[i] - two.means) ** 2).sum(axis=1) + (
            (one.deviations[i] - two.deviations) ** 2
        ).sum(axis=1)
    return np.sqrt(out)


def harmonic_mean(a, b):
    """2 a b / (a + b); 0 where both are 0."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    return np.where(a + b > 0, 2 * a * b / np.where(a + b > 0, a + b, 1.0), 0.0)
