"""Entropy of the spectrum of a diffusion over samples, and how much of it a grouping takes away.

    G_ij = exp(-|x_i - x_j|² / (2 σ²)),    K_ij = G_ij / (q_i q_j)^a,  q_i = Σ_j G_ij,    P = D⁻¹ K,  D_i = Σ_j K_ij
    S = -Σ p log2 p,    p_i = λ_i^t / Σ λ^t,    λ the eigenvalues of P
    DSMI = Σ_y n_y / n (S(random part of n_y samples) - S(samples of y))

σ is a share of the median distance between different samples: scaling the data then changes nothing. P has the
eigenvalues of the symmetric D^(-1/2) K D^(-1/2), none below 0, for a Gaussian kernel is positive definite. a = 1/2 as
published; a = 0 leaves P = D⁻¹ G, whose spectrum the released program computes.

Between 0 bits (all is one) and log2 n (every sample for itself). c groups that are tight and far apart give log2 c,
whatever their sizes.

Reference: D. Liao, C. Liu et al. (2023), "Assessing neural network representations during training using
noise-resilient diffusion spectral entropy".
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh
from scipy.special import stdtrit

ROUNDING = 1e-12  # of the largest squared distance: what rounding leaves between equal samples
HALVES = 10
PARTS = 5  # random parts of a class's size, averaged


def squared_distances(x: np.ndarray) -> np.ndarray:
    """(n, n) squared distances of the rows of `x` (n, d), 0 between equal ones. O(n² d)."""
    x = x - x.mean(axis=0)
    norms = np.einsum("ij,ij->i", x, x)
    out = x @ x.T
    out *= -2.0
    out += norms[:, None]
    out += norms
    out[out <= ROUNDING * out.max(initial=0.0)] = 0.0
    np.fill_diagonal(out, 0.0)
    return out


def median_distance(squared: np.ndarray) -> float:
    """Median distance of two different samples; 0 where all are equal. (Pairs of equal samples, of which there may be
    more than of others, say nothing of the scale.)"""
    apart = squared[squared > 0]
    return float(np.sqrt(np.median(apart))) if len(apart) else 0.0


def diffusion_eigenvalues(squared: np.ndarray, sigma: float, anisotropy: float = 0.5) -> np.ndarray:
    """(n,) eigenvalues of P, rising, in [0, 1]. O(n³), two (n, n) arrays."""
    kernel = squared / (-2.0 * sigma**2)
    np.exp(kernel, out=kernel)
    for power in (anisotropy, 0.5):  # first by density, then the symmetric form of D⁻¹ K
        scale = kernel.sum(axis=1) ** -power
        kernel *= scale
        kernel *= scale[:, None]
    values = eigh(kernel, eigvals_only=True, overwrite_a=True, check_finite=False, driver="evr")
    return np.clip(values, 0.0, 1.0)


def spectral_entropy(values: np.ndarray, time: float = 1.0) -> float:
    """-Σ p log2 p in bits, p = values^time over their sum."""
    p = np.maximum(values, 0.0) ** time
    p = p / p.sum()
    p = p[p > 0]
    return max(float(-(p * np.log2(p)).sum()), 0.0)


def entropies(squared: np.ndarray, sigma: float, times, anisotropy: float = 0.5) -> np.ndarray:
    """(times,) entropy of the diffusion at each time."""
    values = diffusion_eigenvalues(squared, sigma, anisotropy)
    return np.array([spectral_entropy(values, t) for t in times])


def random_half(sample: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Points (rising) of a random half of the samples; `sample` (n,) numbers them 0, 1, … in rising order."""
    count = int(sample[-1]) + 1
    chosen = np.zeros(count, bool)
    chosen[rng.choice(count, size=count // 2, replace=False)] = True
    return np.flatnonzero(chosen[sample])


def half_width(halves: np.ndarray) -> np.ndarray:
    """Half of the 95 % interval of a statistic from its values `halves` (m, …) on random halves of the samples: leaving
    out half, the spread over halves is the standard error itself (delete-d jackknife, Shao & Wu 1989)."""
    return stdtrit(len(halves) - 1, 0.975) * halves.std(axis=0, ddof=1)


def matched_gaussian(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As many rows from one Gaussian with the covariance of `x` (n, d). O(n² d)."""
    n = len(x)
    return rng.standard_normal((n, n)) @ (x - x.mean(axis=0)) / np.sqrt(n - 1)


def mutual_information(
    squared: np.ndarray,
    of: np.ndarray,
    sigma: float,
    time: float,
    anisotropy: float,
    rng: np.random.Generator,
) -> float:
    """DSMI of the samples with their classes `of` (n,), in bits; it can be negative. O(Σ n_y³)."""
    n, total = len(of), 0.0

    def entropy(part):
        return entropies(squared[np.ix_(part, part)], sigma, (time,), anisotropy)[0]

    for c in np.unique(of):
        mine = np.flatnonzero(of == c)
        random = [entropy(rng.choice(n, size=len(mine), replace=False)) for _ in range(PARTS)]
        total += len(mine) / n * (np.mean(random) - entropy(mine))
    return float(total)
