"""Is a projection non-Gaussian, on rows that did not choose it? For components that are found by being so.

    log cosh   E log cosh y - E log cosh ν        kurtosis   E y⁴ - 3        (y of mean 0 and variance 1, ν Gaussian)

The error of either is that of a mean of its influence function, with that of the mean and the variance of y in it;
rows of a sample depend on each other, so sums over samples are the observations. p by Student's t, then the
false-discovery rate over components (Benjamini & Hochberg).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.statistics.multiple_testing import benjamini_hochberg

LEVEL = 0.05
FEWEST_SAMPLES = 10
LOG_COSH, KURTOSIS = "log cosh", "excess kurtosis"


@dataclass(frozen=True)
class Departure:
    """`value` (k,) on held-out rows with its `error`, and `q` (k,) the false-discovery rate; `beyond` (k,) bool. NaN,
    and not beyond, where there are too few samples to say."""

    value: np.ndarray
    error: np.ndarray
    q: np.ndarray

    @property
    def beyond(self) -> np.ndarray:
        return self.q <= LEVEL

    @property
    def known(self) -> bool:
        return bool(np.isfinite(self.q).any())


def departures(y: np.ndarray, samples: np.ndarray, by: str) -> Departure:
    """Of the columns of `y` (n, k), rows of `samples` (n,). O(n k)."""
    from scipy.stats import t

    k, groups = y.shape[1], np.unique(samples, return_inverse=True)[1].reshape(-1)
    many = int(groups.max()) + 1 if len(groups) else 0
    spread = y.std(axis=0) if len(y) else np.zeros(k)
    if many < FEWEST_SAMPLES or (spread == 0).any():
        nothing = np.full(k, np.nan)
        return Departure(nothing, nothing, nothing)
    y = (y - y.mean(axis=0)) / spread
    value, influence = _log_cosh(y) if by == LOG_COSH else _kurtosis(y)
    sums = np.stack([np.bincount(groups, weights=column, minlength=many) for column in influence.T], axis=1)
    error = np.sqrt((sums**2).sum(axis=0) * many / (many - 1)) / len(y)
    p = 2 * t.sf(np.abs(value) / np.maximum(error, np.finfo(float).tiny), many - 1)
    return Departure(value, error, benjamini_hochberg(p))


def _log_cosh(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    g, slope = log_cosh(y), np.tanh(y)
    influence = g - g.mean(axis=0) - 0.5 * (y * slope).mean(axis=0) * (y**2 - 1) - slope.mean(axis=0) * y
    return g.mean(axis=0) - GAUSSIAN_LOG_COSH, influence


def _kurtosis(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    third, fourth = (y**3).mean(axis=0), (y**4).mean(axis=0)
    return fourth - 3, y**4 - fourth - 2 * fourth * (y**2 - 1) - 4 * third * y


def log_cosh(y: np.ndarray) -> np.ndarray:
    size = np.abs(y)
    return size + np.log1p(np.exp(-2 * size)) - np.log(2)


def _gaussian() -> float:
    at, weight = np.polynomial.hermite_e.hermegauss(101)
    return float(weight @ log_cosh(at) / weight.sum())


GAUSSIAN_LOG_COSH = _gaussian()
