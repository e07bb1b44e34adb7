"""k-means as a semidefinite programme: the relaxation of Peng and Wei, which bounds what any k clusters can reach.

    largest ⟨A, Z⟩   with   Z = Zᵀ ⪰ 0, Z >= 0, Z 1 = 1, tr Z = k        A = X Xᵀ

For a partition Z_ij = 1/n_c where i and j are both in cluster c, and ⟨A, Z⟩ is the sum of squares between clusters; so
the relaxation is at least as large as that of the best partition, and where it *is* a partition that one is best.
Found by consensus steps (ADMM): the affine set in closed form, one eigendecomposition, one cut at 0.

Reference: J. Peng & Y. Wei (2007), "Approximating K-means-type clustering via semidefinite programming".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STEPS, SETTLED, CHECKED = 400, 1e-4, 5


@dataclass(frozen=True)
class Relaxed:
    """`z` (n, n) of the cut copy: nothing below 0, the other constraints up to `apart`, the largest entry by which the
    three copies differ; `within` the sum of squares inside clusters that no partition falls below, as exact as that."""

    z: np.ndarray
    within: float
    apart: float


def relaxed_kmeans(x: np.ndarray, k: int) -> Relaxed:
    """Of rows `x` (n, d), centred here. O(n³) for each of at most 400 steps."""
    x = x - x.mean(axis=0)
    a = x @ x.T
    size = max(float(np.linalg.eigvalsh(a)[-1]), 1e-300)
    pull, n = a / size, len(x)
    low = high = np.full((n, n), k / n / n) + np.eye(n) * (k - k / n) / n
    left, right, z = np.zeros((n, n)), np.zeros((n, n)), low
    for step in range(STEPS):
        before, z = z, _affine((low - left + high - right + pull) / 2, k)
        values, vectors = np.linalg.eigh(z + left)
        kept = values > 0
        low = (vectors[:, kept] * values[kept]) @ vectors[:, kept].T
        high = np.maximum(z + right, 0)
        left, right = left + z - low, right + z - high
        still = step % CHECKED == 0 and np.abs(z - before).max() < SETTLED / 10
        if still and max(np.abs(z - low).max(), np.abs(z - high).max()) < SETTLED:
            break
    apart = float(max(np.abs(z - low).max(), np.abs(z - high).max()))
    alone = np.diag(a)
    return Relaxed(high, float(((alone[:, None] + alone - 2 * a) * high).sum()) / 2, apart)


def _affine(z: np.ndarray, k: int) -> np.ndarray:
    """The nearest symmetric matrix with rows that sum to 1 and trace k: z + a 1ᵀ + 1 aᵀ + ν I."""
    n = len(z)
    z = (z + z.T) / 2
    missing, trace = 1 - z.sum(axis=1), k - float(np.trace(z))
    s = (float(missing.sum()) - trace) / (2 * (n - 1))
    level = (trace - 2 * s) / n
    a = (missing - s - level) / n
    return z + a[:, None] + a + level * np.eye(n)


def partition_matrix(codes: np.ndarray) -> np.ndarray:
    """Z (n, n) of a partition."""
    same = codes[:, None] == codes
    return same / same.sum(axis=1)
