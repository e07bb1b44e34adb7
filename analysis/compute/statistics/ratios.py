"""Shares as ratios of sums over samples, with bootstrap intervals that keep the tokens of a sample together."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.nulls import add_one_p
from analysis.results import Estimate


def sample_sums(values: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """Sums (samples, ...) of `values` (n, ...) over the points of each sample; `sample` (n,) rising from 0."""
    return np.add.reduceat(values, np.flatnonzero(np.r_[True, np.diff(sample) != 0]), axis=0)


def ratio_interval(
    above: np.ndarray, below: np.ndarray, rng: np.random.Generator, *, level: float = 0.95, draws: int = 1000
) -> tuple[float, float]:
    """Percentile bootstrap interval of Σ above / Σ below over samples (both (samples,)), around the value itself.

    A draw whose denominator is 0 is left out; without any other draw the interval is the value. O(draws n).
    """
    value = float(above.sum() / below.sum())
    n, ratios = len(above), []
    for start in range(0, draws, 50):
        picked = rng.integers(n, size=(min(50, draws - start), n), dtype=np.uint32)
        top, bottom = above[picked].sum(axis=1), below[picked].sum(axis=1)
        ratios.append(top[bottom > 0] / bottom[bottom > 0])
    ratios = np.concatenate(ratios)
    if not len(ratios):
        return value, value
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    return min(float(low), value), max(float(high), value)


def random_direction_shares(
    x: np.ndarray, rng: np.random.Generator, *, directions: int = 200, k: int = 1, points: int = 2000
) -> np.ndarray:
    """Shares (directions,) of the variance of `x` (n, d) that random k-dimensional subspaces hold.

    From at most `points` rows. Time O(points d k directions).
    """
    x = x[:: -(-len(x) // points)]
    x = x - x.mean(axis=0)
    total, d = float((x**2).sum()), x.shape[1]
    if total == 0:
        return np.full(directions, min(k, d) / d)
    if k >= d:
        return np.ones(directions)
    shares = np.empty(directions)
    for i in range(directions):
        frame = np.linalg.qr(rng.standard_normal((d, k)))[0]
        shares[i] = ((x @ frame) ** 2).sum() / total
    return shares


def variance_share(
    x: np.ndarray,
    frame: np.ndarray,
    sample: np.ndarray,
    name: str,
    chance: np.ndarray,
    rng: np.random.Generator,
) -> Estimate:
    """Share of the sum of squares of the centred `x` (n, d) that the orthonormal `frame` (d, k) holds.

    `chance` : shares of random subspaces of as many dimensions. O(n d k).
    """
    n, d = x.shape
    below = sample_sums(np.einsum("ij,ij->i", x, x), sample)
    above = sample_sums(((x @ frame) ** 2).sum(axis=1), sample)
    value = float(above.sum() / below.sum())
    low, high = ratio_interval(above, below, rng, draws=500)
    null_low, null_high = np.percentile(chance, [2.5, 97.5])
    return Estimate(
        name, value, low, high, interval="bootstrap over samples, axes held fixed",
        null=min(frame.shape[1] / d, 1.0), null_low=float(null_low), null_high=float(null_high),
        null_method="random directions", p_value=float(add_one_p(value, chance)), n=n, d=d,
        estimator="share of the sum of squares",
    )  # fmt: skip
