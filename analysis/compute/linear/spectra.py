"""One number from a spectrum, named by its formula.

Three quantities are called "effective rank" in the literature and differ by a factor of ten on the same data
(29.1, 4.7 and 2.5 in one example), so each function says which it is. All are at most min(n, d).
"""

from __future__ import annotations

import numpy as np


def participation_ratio(eigenvalues: np.ndarray) -> float:
    """(Σ λ)² / Σ λ² of covariance eigenvalues λ >= 0."""
    lam = np.maximum(eigenvalues, 0.0)
    lam = lam / lam.max()  # squares of very large ones are infinite
    return float(lam.sum() ** 2 / (lam**2).sum())


def entropy_rank(weights: np.ndarray) -> float:
    """exp(-Σ p ln p) with p = weights / Σ weights.

    With weights = singular values σ it is the effective rank of Roy & Vetterli (2007), RankMe's when the rows
    are not centred; with weights = σ² (eigenvalues) it is the entropy rank of the variance.
    """
    p = np.maximum(weights, 0.0)
    p = p / p.sum()
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


def entropy_rank_gradient(weights: np.ndarray) -> np.ndarray:
    """Derivative (k,) of `entropy_rank` with respect to each weight; 0 where the weight is 0."""
    w = np.maximum(weights, 0.0)
    total = w.sum()
    p = w / total
    log_p = np.log(np.where(p > 0, p, 1.0))
    entropy = -(p * log_p).sum()
    return np.where(p > 0, -(log_p + entropy) / total, 0.0) * np.exp(entropy)


def axes_for(eigenvalues: np.ndarray, share: float) -> int:
    """The smallest number of leading axes whose eigenvalues (falling) hold `share` of the sum."""
    lam = np.maximum(eigenvalues, 0.0)
    reached = np.cumsum(lam) / lam.sum() >= share * (1 - 1e-12)
    return int(np.argmax(reached)) + 1


def marchenko_pastur_edges(n: int, d: int, variance: float = 1.0) -> tuple[float, float]:
    """Smallest and largest eigenvalue that n samples of d uncorrelated units of one variance tend to
    (Marchenko & Pastur 1967): variance (1 ± sqrt(d / n))²; the lower is 0 when d >= n."""
    root = np.sqrt(d / n)
    low = 0.0 if d >= n else (1 - root) ** 2
    return float(variance * low), float(variance * (1 + root) ** 2)


def ranks(lam: np.ndarray) -> dict[str, float]:
    """The three ranks of covariance eigenvalues, each under its formula."""
    return {
        "participation ratio of λ, (Σλ)²/Σλ²": participation_ratio(lam),
        "entropy rank of λ": entropy_rank(lam),
        "entropy rank of √λ (centred singular values)": entropy_rank(np.sqrt(np.maximum(lam, 0))),
    }


def rank_gradients(lam: np.ndarray) -> np.ndarray:
    """Derivatives (3, k) of the three `ranks`, in their order, with respect to each eigenvalue."""
    total, squares, sigma = lam.sum(), (lam**2).sum(), np.sqrt(lam)
    ratio = 2 * total / squares - 2 * total**2 * lam / squares**2
    return np.stack([ratio, entropy_rank_gradient(lam), entropy_rank_gradient(sigma) / (2 * sigma)])


def rankme(mean: np.ndarray, directions: np.ndarray, eigenvalues: np.ndarray, n: int) -> float:
    """Entropy rank of the singular values of the rows as they are (Garrido et al. 2023).

    From the `mean` (d,), all principal `directions` (k, d) and their `eigenvalues` (k,): XᵀX = (n - 1) C + n mean
    meanᵀ, written in the basis of the directions and the rest of the mean. Time O(k³).
    """
    inside = directions @ mean
    outside = np.sqrt(max(float(mean @ mean - inside @ inside), 0.0))
    along = np.append(inside, outside) * np.sqrt(n)
    gram = np.diag(np.append(eigenvalues, 0.0)) * (n - 1) + np.outer(along, along)
    return entropy_rank(np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0.0)))
