"""Intervals of means and shares over observations that come in clusters, such as the crops of an image.

The mean of all observations is a ratio, Σ_g sum_g / Σ_g size_g over clusters g. Its standard error is the jackknife's,
one cluster left out at a time; of a share, Wilson's interval has as many draws as independent ones would need for that
error, m = p (1 - p) / error², at most the observations, and with t of the clusters' degrees of freedom for the normal
quantile. Where all are 0 or all are 1 there is no error to take it from, and the clusters are the draws.

References: M. Quenouille (1956) and J. Tukey (1958) for the jackknife; N. Dean & M. Pagano (2015), "Evaluating
confidence interval methods for binomial proportions in clustered surveys" (Wilson's with an effective sample size).
"""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

from analysis.compute.statistics.nulls import wilson
from analysis.compute.statistics.sample_groups import FEWEST, jackknife_error


def clustered_error(
    values: np.ndarray, of: np.ndarray, weights: np.ndarray | None = None
) -> tuple[float, int]:
    """Jackknife standard error of the (weighted) mean of `values` (n,) over clusters `of` (n,) 0 .. G - 1, and G."""
    weights = np.ones(len(values)) if weights is None else weights
    size, total = np.bincount(of, weights), np.bincount(of, values * weights)
    if len(size) < 2:
        return 0.0, len(size)
    without = (total.sum() - total) / (size.sum() - size)
    return float(jackknife_error(without)), len(size)


def clustered_mean_interval(
    values: np.ndarray, of: np.ndarray, cluster: str, *, least: float = -np.inf, most: float = np.inf,
    weights: np.ndarray | None = None,
) -> dict:  # fmt: skip
    """95 % interval of a (weighted) mean as an `Estimate` takes it, held inside [least, most]; nothing for fewer than
    three clusters. `cluster` names them in the plural."""
    error, clusters = clustered_error(values, of, weights)
    if clusters < FEWEST:
        return {}
    mean, half = float(np.average(values, weights=weights)), stdtrit(clusters - 1, 0.975) * error
    return {"low": min(max(mean - half, least), mean), "high": max(min(mean + half, most), mean),
            "interval": f"jackknife over {clusters:,} {cluster}, t"}  # fmt: skip


def clustered_share_interval(values: np.ndarray, of: np.ndarray, cluster: str) -> dict:
    """The same of a share; `values` (n,) are 0 or 1."""
    error, clusters = clustered_error(values, of)
    if clusters < FEWEST:
        return {}
    n, mean = len(values), float(values.mean())
    spread = mean * (1 - mean)
    draws = clusters if spread == 0 else n if error == 0 else min(n, spread / error**2)
    low, high = wilson(mean * draws, draws, z=float(stdtrit(clusters - 1, 0.975)))
    return {"low": min(low, mean), "high": max(high, mean),
            "interval": f"Wilson, effective draws by jackknife over {clusters:,} {cluster}"}  # fmt: skip
