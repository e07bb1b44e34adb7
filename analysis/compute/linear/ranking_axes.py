"""Axes along which samples are ranked by an attribute, and how well: Spearman's correlation with interval and null.

two samples      x_high - x_low, of one low and one high sample
difference       mean of one group minus mean of another: halves, or the m lowest and m highest
least squares    Σ⁺ Σ_xy of the training samples (with fewer samples than units it fits any attribute exactly)
ridge            (Σ + λ I)⁻¹ Σ_xy, λ by generalised cross-validation (Golub, Heath & Wahba 1979)

Spearman's ρ depends on ranks alone: no increasing change of the attribute and no positive factor or shift of the
projections moves it; turning the axis round turns its sign. If the attribute has nothing to do with the samples, ρ has
mean 0 and variance 1 / (n - 1) exactly, over all exchanges and with ties. Interval: Fisher's z with the variance
(1 + ρ² / 2) / (n - 3) of Bonett & Wright (2000).

References: C. Spearman (1904); D. Bonett & T. Wright (2000), "Sample size requirements for estimating Pearson, Kendall
and Spearman correlations".
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr

from analysis.compute.statistics.auroc import midranks
from analysis.results import Estimate

PENALTIES = 10.0 ** np.arange(-4.0, 3.0)  # of the mean variance


def difference_axis(x: np.ndarray, high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """(d,) mean of rows `high` minus mean of rows `low` (positions or masks). O(n d)."""
    return x[high].mean(axis=0) - x[low].mean(axis=0)


def ends(y: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the m lowest and the m highest of `y` (n,); ties by position."""
    order = np.argsort(y, kind="stable")
    return order[:m], order[-m:]


def halves(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks (n,) of the values below and above the median; of many ties at an end, those against the rest."""
    middle = np.median(y)
    low, high = y < middle, y > middle
    if not low.any():
        low = ~high
    if not high.any():
        high = ~low
    return low, high


def least_squares_axis(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(d,) of least norm. O(n d min(n, d))."""
    return np.linalg.lstsq(x - x.mean(axis=0), y - y.mean(), rcond=None)[0]


def ridge_axis(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(d,) with the penalty of least generalised cross-validation error. O(n d min(n, d))."""
    left, s, right = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    keep = s > max(float(s[0]), 1e-300) * max(x.shape) * np.finfo(float).eps
    left, s, right = left[:, keep], s[keep], right[keep]
    centred, n = y - y.mean(), len(y)
    along = left.T @ centred
    outside = max(float(centred @ centred - along @ along), 0.0)
    best, axis = np.inf, np.zeros(x.shape[1])
    for lam in PENALTIES * float((s**2).mean()):
        kept = s**2 / (s**2 + lam)
        freedom = n - 1 - kept.sum()
        error = (outside + float((((1 - kept) * along) ** 2).sum())) / max(freedom, 1e-9 * n) ** 2
        if error < best and freedom > 1e-9 * n:
            best, axis = error, right.T @ (kept / s * along)
    return axis


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """ρ of two columns (n,), with midranks; 0 where one is constant. O(n ln n)."""
    ranks = midranks(np.column_stack([a, b]))[0]
    ranks -= ranks.mean(axis=0)
    size = np.sqrt((ranks**2).sum(axis=0))
    if min(size) <= 1e-9:
        return 0.0
    return float(np.clip(ranks[:, 0] @ ranks[:, 1] / (size[0] * size[1]), -1.0, 1.0))


def spearman_interval(rho: float, n: int) -> tuple[float, float]:
    """95 % of one ρ of n >= 4 samples."""
    z = np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12))
    half = 1.959964 * np.sqrt((1 + rho**2 / 2) / (n - 3))
    return min(float(np.tanh(z - half)), rho), max(float(np.tanh(z + half)), rho)


def spearman_p(rho: float, n: int) -> float:
    """Two-sided, by the normal with the exact variance 1 / (n - 1)."""
    return float(min(1.0, 2 * np.exp(log_ndtr(-abs(rho) * np.sqrt(n - 1)))))


def spearman_estimate(name: str, rho: float, n: int, d: int, estimator: str) -> Estimate:
    """ρ on n held-out samples."""
    low, high = spearman_interval(rho, n)
    band = 1.959964 / np.sqrt(n - 1)
    return Estimate(
        name, rho, low=low, high=high, interval="Fisher's z, variance of Bonett and Wright", null=0.0,
        null_low=-band, null_high=band, null_method="exchanged samples: mean 0, variance 1 / (n - 1)",
        p_value=spearman_p(rho, n), n=n, d=d, estimator=estimator,
    )  # fmt: skip
