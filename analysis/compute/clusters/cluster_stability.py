"""Do the same clusters come back from other samples? And how far are clusters from each other?

*Stability*: cluster many random halves of the samples again; for each original cluster, its Jaccard overlap with the
most similar new cluster over the rows of that half. Around and above 0.75 a cluster is stable, below 0.6 it should
not be trusted, below 0.5 it dissolved (Hennig's rules of thumb). *Chance*: the same with the new codes moved to
other rows: a partition of the same sizes that knows nothing. Tokens of one sample stay together.

*Silhouette*: (b - a) / max(a, b) of a point, a its mean distance to its own cluster, b to the nearest other.

References: C. Hennig (2007), "Cluster-wise assessment of cluster stability"; P. Rousseeuw (1987), "Silhouettes".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.compute.rows.metric_space import squared_distances
from analysis.spec import Progress, no_progress

STABLE, DISSOLVED = 0.75, 0.5
Fit = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # points (m, d), rng -> codes (m,)


@dataclass(frozen=True)
class Stability:
    """`jaccard` (draws, k), NaN where a half holds no row of the cluster, and `chance` (k,)."""

    jaccard: np.ndarray
    chance: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """(k,); 0 for a cluster that no half held."""
        known = np.isfinite(self.jaccard)
        return np.where(known, self.jaccard, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)

    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Middle 95 % (k,) of the halves."""
        low, high = np.percentile(np.nan_to_num(self.jaccard), [2.5, 97.5], axis=0)
        return np.minimum(low, self.mean), np.maximum(high, self.mean)

    def overall(self) -> tuple[float, float, float]:
        """Mean over clusters of the stability, and the middle 95 % of it over the halves."""
        each = np.nanmean(np.nan_to_num(self.jaccard), axis=1)
        low, high = np.percentile(each, [2.5, 97.5])
        return float(each.mean()), float(min(low, each.mean())), float(max(high, each.mean()))


def stability(
    points: np.ndarray,
    codes: np.ndarray,
    owners: np.ndarray,
    fit: Fit,
    draws: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Stability:
    """`points` (n, d), their `codes` (n,) (-1: none) and the samples they belong to, `owners` (n,)."""
    k = int(codes.max(initial=-1)) + 1
    samples, owner = np.unique(owners, return_inverse=True)
    found, chance = np.full((draws, k), np.nan), np.zeros((draws, k))
    for i in range(draws):
        progress(span[0] + (span[1] - span[0]) * i / draws, "clustering half of the samples again")
        half = np.zeros(len(samples), bool)
        half[rng.permutation(len(samples))[: max(2, len(samples) // 2)]] = True
        mine = np.flatnonzero(half[owner])
        again = fit(points[mine], rng)
        found[i] = overlaps(codes[mine], again, k)
        chance[i] = np.nan_to_num(overlaps(codes[mine], rng.permutation(again), k))
    return Stability(found, chance.mean(axis=0))


def overlaps(codes: np.ndarray, again: np.ndarray, k: int) -> np.ndarray:
    """(k,) largest Jaccard index of each cluster with a cluster of `again`; NaN for a cluster without a row."""
    j = int(again.max(initial=-1)) + 1
    own = np.bincount(codes[codes >= 0], minlength=k).astype(float)
    if j == 0 or k == 0:
        return np.where(own > 0, 0.0, np.nan)
    both = (codes >= 0) & (again >= 0)
    shared = np.bincount(codes[both] * j + again[both], minlength=k * j).reshape(k, j)
    other = np.bincount(again[again >= 0], minlength=j)
    union = own[:, None] + other - shared
    best = (shared / np.maximum(union, 1)).max(axis=1)
    return np.where(own > 0, best, np.nan)


def silhouettes(points: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(n,) silhouette of each clustered point; NaN without a cluster, 0 alone in one or with one cluster only.
    O(n² d) time, O(n²) memory."""
    out, inside = np.full(len(codes), np.nan), np.flatnonzero(codes >= 0)
    if not len(inside):
        return out
    names, code = np.unique(codes[inside], return_inverse=True)
    counts = np.bincount(code)
    if len(names) < 2:
        out[inside] = 0.0
        return out
    away = np.sqrt(squared_distances(points[inside], points[inside]))
    np.fill_diagonal(away, 0.0)
    sums = away @ np.eye(len(names))[code]
    n = np.arange(len(inside))
    own = sums[n, code] / np.maximum(counts[code] - 1, 1)
    means = sums / counts
    means[n, code] = np.inf
    other = means.min(axis=1)
    largest = np.maximum(own, other)
    out[inside] = np.where(
        (counts[code] > 1) & (largest > 0), (other - own) / np.where(largest > 0, largest, 1), 0.0
    )
    return out
