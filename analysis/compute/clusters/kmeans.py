"""k-means by scikit-learn, made repeatable: one thread (sums over several depend on who is first), an explicit seed,
clusters numbered by size. Imports scikit-learn."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass

import numpy as np

from analysis.compute.rows.metric_space import nearest_of

STARTS = 3  # starts of each of the many small fits; the best one counts


@dataclass(frozen=True)
class Centres:
    """`codes` (n,) int32, largest cluster first; `centres` (k, d); `within` the sum of squared distances."""

    codes: np.ndarray
    centres: np.ndarray
    within: float


@functools.cache
def _threads():
    import sklearn.cluster  # noqa: F401  before the libraries are counted
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def kmeans(points: np.ndarray, k: int, rng: np.random.Generator, starts: int = STARTS) -> Centres:
    """k clusters (fewer where there are fewer distinct points) of (n, d) points. O(n k d) per pass."""
    from sklearn.cluster import KMeans

    k = min(k, len(points))
    if k == 1:
        centre = points.mean(axis=0, keepdims=True)
        return Centres(np.zeros(len(points), np.int32), centre, float(((points - centre) ** 2).sum()))
    seed = int(rng.integers(2**31))
    with _threads().limit(limits=1, user_api="openmp"), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # fewer distinct points than clusters: the caller sees how many there are
        fitted = KMeans(k, n_init=starts, random_state=seed).fit(points)
    counts = np.bincount(fitted.labels_, minlength=k)
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] > 0]
    number = np.zeros(k, np.int32)
    number[order] = np.arange(len(order))
    return Centres(number[fitted.labels_], fitted.cluster_centers_[order], float(fitted.inertia_))


def to_centres(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Number (n,) int32 of the nearest centre; ties to the lower."""
    return nearest_of(points, centres)[0].astype(np.int32)


def prediction_strength(points: np.ndarray, k: int, rng: np.random.Generator, splits: int = 5) -> float:
    """Do the clusters of one half predict those of the other? For each cluster of a half, the share of its pairs
    that the other half's centres put together; the worst cluster counts, averaged over splits and both halves.

    1 for k = 1. Reference: R. Tibshirani & G. Walther (2005), "Cluster validation by prediction strength".
    """
    if k == 1:
        return 1.0
    worst = []
    for _ in range(splits):
        order = rng.permutation(len(points))
        halves = points[order[: len(points) // 2]], points[order[len(points) // 2 :]]
        fits = [kmeans(half, k, rng) for half in halves]
        for mine in (0, 1):
            told = to_centres(halves[mine], fits[1 - mine].centres)
            worst.append(min(_together(fits[mine].codes, told)))
    return float(np.mean(worst))


def _together(codes: np.ndarray, told: np.ndarray):
    for c in range(codes.max() + 1):
        counts = np.bincount(told[codes == c]).astype(float)
        n = counts.sum()
        yield 1.0 if n < 2 else float((counts * (counts - 1)).sum() / (n * (n - 1)))
