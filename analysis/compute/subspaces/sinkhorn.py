"""Who belongs with whom, as a doubly stochastic matrix, and clusters from its eigenvectors.

Unit rows z_i: kernel K_ij = exp(|z_iᵀz_j| / γ), scaled to Π = diag(v) K diag(v) whose rows and columns sum to 1
(Sinkhorn; for a symmetric positive K the v is unique). Π is the matrix of all such that maximises Σ Π_ij |z_iᵀz_j| +
γ · entropy. Its leading eigenvectors, rows made unit length, are clustered by k-means: clusters are blocks of Π.

References: R. Sinkhorn & P. Knopp (1967); P. Knight, D. Ruiz & B. Uçar (2014) for the symmetric iteration; T. Ding et
al. (2023), "Unsupervised manifold linearizing and clustering".
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

from analysis.compute.clusters.kmeans import kmeans

TOLERANCE, STEPS = 1e-10, 2000


def affinity(z: np.ndarray) -> np.ndarray:
    """|cosine| (n, n) of unit rows `z` (n, d), 1 on the diagonal (0 for rows of zeros)."""
    return np.minimum(np.abs(z @ z.T), 1.0)


def doubly_stochastic(similar: np.ndarray, gamma: float) -> tuple[np.ndarray, float]:
    """Π (n, n) of symmetric similarities (n, n), and how far its row sums are from 1 at worst. O(n² steps)."""
    kernel = np.exp((similar - similar.max()) / gamma)
    v = 1 / np.sqrt(kernel.sum(axis=1))
    for _ in range(STEPS):
        sums = v * (kernel @ v)
        if np.abs(sums - 1).max() < TOLERANCE:
            break
        v = v / np.sqrt(sums)
    pi = v[:, None] * kernel * v
    return pi, float(np.abs(pi.sum(axis=1) - 1).max())


def spectral_codes(pi: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Cluster (n,) of each row by the k leading eigenvectors of the symmetric `pi` (n, n). O(n² k) and more."""
    n = len(pi)
    vectors = eigh(pi, subset_by_index=[n - k, n - 1])[1]
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return kmeans(vectors / np.where(length > 0, length, 1.0), k, rng, 10).codes


def random_cosine(d: int) -> float:
    """E |cos| of two random directions in d dimensions, Γ(d / 2) / (√π Γ((d + 1) / 2)); 1 for d = 1."""
    from scipy.special import gammaln

    return float(np.exp(gammaln(d / 2) - gammaln((d + 1) / 2)) / np.sqrt(np.pi))
