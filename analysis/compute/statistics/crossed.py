"""The mean of a table of samples and draws, when both could have been others.

Of y_ij = mean + sample_i + draw_j + rest_ij, i of n, j of K, every sample under the same K draws, with mean squares
M_s, M_d, M_r of samples, draws and the rest,

    var(mean) = (M_s + M_d - M_r) / (n K) ,   never below M_s / (n K) or M_d / (n K)

and Student's t with Satterthwaite's degrees of freedom. An interval over samples of means over draws leaves out that
other draws would have moved all samples together: with three draws it is the draws that tell.

References: F. Satterthwaite (1946), "An approximate distribution of estimates of variance components"; A. Owen (2007),
"The pigeonhole bootstrap".
"""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit


def crossed_ends(values: np.ndarray, least: float = -np.inf, most: float = np.inf) -> np.ndarray:
    """(2, …): the ends of the 95 % interval of the mean of `values` (n, K, …) over samples and draws, at least two of
    each, held inside [least, most]."""
    x = np.asarray(values, np.float64)
    n, k = x.shape[:2]
    mean, rows, columns = x.mean(axis=(0, 1)), x.mean(axis=1), x.mean(axis=0)
    samples = k * ((rows - mean) ** 2).sum(axis=0) / (n - 1)
    draws = n * ((columns - mean) ** 2).sum(axis=0) / (k - 1)
    rest = x - rows[:, None] - columns[None] + mean
    rest = (rest**2).sum(axis=(0, 1)) / ((n - 1) * (k - 1))
    error = np.maximum(samples + draws - rest, np.maximum(samples, draws))
    below = samples**2 / (n - 1) + draws**2 / (k - 1) + rest**2 / ((n - 1) * (k - 1))
    freedom = np.where(below > 0, error**2 / np.where(below > 0, below, 1.0), 1.0)
    half = stdtrit(np.clip(freedom, min(n, k) - 1, n * k - 1), 0.975) * np.sqrt(error / (n * k))
    return np.clip([mean - half, mean + half], least, most)


def crossed_interval(values: np.ndarray, least: float = -np.inf, most: float = np.inf) -> dict:
    """The same of `values` (n, K) as an `Estimate` takes it."""
    low, high = crossed_ends(values, least, most)
    return {
        "low": float(low),
        "high": float(high),
        "interval": "Student's t over samples and draws (Satterthwaite)",
    }
