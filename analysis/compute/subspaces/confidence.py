"""How sure the span of the first k principal axes is: the sampling error of a subspace, for every k at once.

To first order the part of axis i <= k that leaves the span towards axis j > k is c_ij / (λ_i - λ_j), c_ij the mean of
s_i s_j over the samples' scores, so that

    n E ‖sin Θ‖² = Σ_{i <= k < j} κ_ij / (λ_i - λ_j)²,    κ_ij = E s_i² s_j²  (Gaussian: λ_i λ_j)

with ‖sin Θ‖² = Σ sin² θ between the span found and the true one (Davis & Kahan 1970; Anderson 1963; Rabenoro & Pennec
2022). The terms are independent for Gaussian data, and ‖sin Θ‖² is a weighted sum of
chi-squared variables, whose 95 % quantile Satterthwaite's matched one gives: the radius of a confidence region of
subspaces around the one that was found.

References: T. W. Anderson (1963), "Asymptotic theory for principal component analysis"; C. Davis & W. Kahan (1970);
D. Rabenoro & X. Pennec (2022), "A geometric framework for asymptotic inference of principal subspaces in PCA"; F.
Satterthwaite (1946).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, gammaincinv

from analysis.spec import Progress, no_progress

LEVEL = 0.95
WORK = 1e11  # operations that the bootstrap may take
DRAWS = 200


@dataclass(frozen=True)
class ExpectedError:
    """For k = 1 .. K: E ‖sin Θ‖² `mean` (K,) and the 95 % `radius` (K,) of ‖sin Θ‖; infinite where λ_k = λ_{k+1}."""

    mean: np.ndarray
    radius: np.ndarray


def expected_error(values: np.ndarray, n: int, most: int, fourth: np.ndarray | None = None) -> ExpectedError:
    """Of all eigenvalues `values` (r,) falling, `n` independent samples, cuts up to `most` < r. `fourth` (most, r) is
    κ_ij; without it that of Gaussian data. Time O(most² r)."""
    lead = values[:most, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = (lead * values if fourth is None else fourth) / (lead - values) ** 2 / n
    mean, squares = np.empty(most), np.empty(most)
    for k in range(1, most + 1):
        block = terms[:k, k:]
        mean[k - 1], squares[k - 1] = block.sum(), (block**2).sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = squares / mean
        shape = mean / scale / 2
        radius = np.sqrt(2 * scale * gammaincinv(np.where(np.isfinite(shape), shape, 1.0), LEVEL))
    return ExpectedError(mean, np.where(np.isfinite(mean), radius, np.inf))


def fourth_moments(scores: np.ndarray, most: int, sample: np.ndarray | None = None) -> np.ndarray:
    """(most, r) mean of s_i² s_j² of centred `scores` (n, r). With rows that depend on each other inside a `sample`
    (n,), rising: n times the variance of the mean of s_i s_j, Σ over samples of (Σ s_i s_j over its rows)² / n.
    O(n r most)."""
    if sample is None or sample[-1] + 1 == len(sample):
        squares = scores**2
        return squares[:, :most].T @ squares / len(scores)
    starts = np.flatnonzero(np.diff(sample, prepend=-1))
    sums = (np.add.reduceat(scores * scores[:, i, None], starts, axis=0) for i in range(most))
    return np.array([(s**2).sum(axis=0) for s in sums]) / len(scores)


def bootstrap_error(
    scores: np.ndarray,
    most: int,
    rng: np.random.Generator,
    draws: int,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
    sample: np.ndarray | None = None,
) -> np.ndarray:
    """(draws, most) ‖sin Θ‖² between the span of the first k = 1 .. most axes and that of resampled samples; `scores`
    (n, r) on all axes, each row a sample or one of the rows of its `sample` (n,). O(n r² + r³) a draw."""
    sample = np.arange(len(scores)) if sample is None else sample
    samples = int(sample.max()) + 1
    found = np.empty((draws, most))
    for i in range(draws):
        progress(span[0] + (span[1] - span[0]) * i / draws, "resampling")
        counts = rng.multinomial(samples, np.full(samples, 1.0 / samples))[sample]
        kept, n = counts > 0, counts.sum()
        weighted = scores[kept] * counts[kept, None]
        mean = weighted.sum(axis=0) / n
        covariance = scores[kept].T @ weighted / n - np.outer(mean, mean)
        axes = np.linalg.eigh(covariance)[1][:, ::-1][:most, :most]
        inside = np.diagonal((axes**2).cumsum(axis=0).cumsum(axis=1))
        found[i] = np.maximum(np.arange(1, most + 1) - inside, 0.0)
    return found


def draws_for(n: int, r: int) -> int:
    """Resamples that the work allows: 20 to 200."""
    return int(np.clip(WORK / (2.0 * n * r**2 + 10.0 * r**3), 20, DRAWS))


def random_error(k: np.ndarray, d: int) -> np.ndarray:
    """E ‖sin Θ‖² of a random subspace of each dimension `k` in `d`, exactly: k (d - k) / d."""
    return k * (d - k) / d


def random_line_angle(d: int, share: float) -> float:
    """Quantile, in radians, of the angle between two random lines of `d` >= 2 dimensions: cos² is beta distributed."""
    return float(np.arccos(np.sqrt(betaincinv(0.5, (d - 1) / 2, 1 - share))))
