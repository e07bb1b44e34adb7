"""Is there any cluster at all? The same search on clouds that have none.

*gaussian*: as many rows from one Gaussian with the data's mean and covariance (drawn as random combinations of the
centred rows, so its covariance is the sample's exactly and nothing is inverted). *shuffled units*: each unit's values
over other rows: keeps every unit's own distribution and breaks what units say about each other.

Gap of k clusters: mean over the clouds of log(W_k / W_1) minus the data's, W the sum of squared distances to the
centres. The number of clusters is the smallest k with gap(k) >= gap(k + 1) - s(k + 1), s the clouds' deviation
times sqrt(1 + 1 / draws); from 2 on where the test rules one cloud out. The test takes the largest gap in deviations
over all k, for the data and, each against the others, for every cloud: exact for exchangeable clouds.

Reference: R. Tibshirani, G. Walther & T. Hastie (2001), "Estimating the number of clusters in a data set via the gap
statistic"; the Gaussian reference: Y. Liu, D. Hayes, A. Nobel & J. Marron (2008), "Statistical significance of
clustering for high-dimension, low-sample size data".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.clusters.kmeans import kmeans
from analysis.compute.rows.metric_space import Space
from analysis.compute.statistics.nulls import add_one_p
from analysis.spec import Progress, no_progress

NULLS = ("gaussian", "shuffled units")
TEST_ROWS, TEST_AXES = 1500, 64
LEVEL = 0.05


@dataclass(frozen=True)
class SubsetCloud:
    """A subset of the rows for the many repeats: `x` (m, d) as read, `rows` (m,) their places in the whole cloud,
    `points` (m, a) on at most 64 principal axes that hold `share` of their variance; `space` and `axes` (p, a)
    put other rows there."""

    x: np.ndarray
    rows: np.ndarray
    points: np.ndarray
    space: Space
    centre: np.ndarray
    axes: np.ndarray | None
    share: float

    def place(self, x: np.ndarray) -> np.ndarray:
        points = self.space.place(x) - self.centre
        return points if self.axes is None else points @ self.axes


def subset_cloud(x: np.ndarray, space: Space, rng: np.random.Generator, most: int = TEST_ROWS) -> SubsetCloud:
    """A seeded subset of finite rows `x` (n, d). O(m d min(m, d))."""
    rows = np.arange(len(x)) if len(x) <= most else np.sort(rng.choice(len(x), size=most, replace=False))
    points = space.place(x[rows])
    centre = points.mean(axis=0)
    points = points - centre
    axes, share = None, 1.0
    if points.shape[1] > TEST_AXES:
        _, values, vectors = np.linalg.svd(points, full_matrices=False)
        axes, values = vectors[:TEST_AXES].T, values**2
        share = float(values[:TEST_AXES].sum() / values.sum())
        points = points @ axes
    return SubsetCloud(x[rows], rows, points, space, centre, axes, share)


def null_cloud(cloud: SubsetCloud, how: str, rng: np.random.Generator) -> np.ndarray:
    """Points (m, a) of a cloud without clusters. "gaussian" O(m² a) (cosine: O(m² d)), "shuffled units" O(m d)."""
    if how == "shuffled units":
        points = cloud.place(rng.permuted(cloud.x, axis=0))
    elif cloud.space.metric == "euclidean":
        points = _like(cloud.points, rng)
    else:
        mean = cloud.x.mean(axis=0, dtype=np.float64)
        points = cloud.place(mean + _like(cloud.x - mean, rng))
    return points - points.mean(axis=0)


def _like(centred: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    m = len(centred)
    return rng.standard_normal((m, m)) @ (centred / np.sqrt(m - 1))


@dataclass(frozen=True)
class Gap:
    """`ks` (K,); `gap` (K,) and its `error` (K,), 0 for one cluster; `statistic` and `null` (draws,), the largest
    gap in deviations, and `p`; `chosen` number of clusters by the rule of the paper."""

    ks: np.ndarray
    gap: np.ndarray
    error: np.ndarray
    statistic: float
    null: np.ndarray
    p: float
    chosen: int


def gap_statistic(
    cloud: SubsetCloud,
    most: int,
    how: str,
    draws: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Gap:
    """The gap over 1 … `most` clusters. O(draws · most) fits of k-means."""
    ks = np.arange(1, max(2, min(most, len(cloud.points) // 2)) + 1)
    logs = np.empty((draws + 1, len(ks)))
    for i in range(draws + 1):
        progress(span[0] + (span[1] - span[0]) * i / (draws + 1), "looking for clusters where there are none")
        logs[i] = _log_within(null_cloud(cloud, how, rng) if i else cloud.points, ks, rng)
    others = (logs.sum(axis=0) - logs) / draws
    spread = np.array([np.delete(logs, i, axis=0).std(axis=0, ddof=draws > 1) for i in range(draws + 1)])
    spread = np.maximum(spread, 1e-12)
    top = ((others - logs) / spread)[:, 1:].max(axis=1)
    gap, error = others[0] - logs[0], spread[0] * np.sqrt(1 + 1 / draws)
    error[0] = 0.0
    p = float(add_one_p(top[0], top[1:]))
    stops = np.flatnonzero(gap[:-1] >= gap[1:] - error[1:])
    stops = stops[stops >= (p <= LEVEL)]  # two at least where one cloud is ruled out
    chosen = int(ks[stops[0]]) if len(stops) else int(ks[-1])
    return Gap(ks, gap, error, float(top[0]), top[1:], p, chosen)


def _log_within(points: np.ndarray, ks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    within = np.array([kmeans(points, int(k), rng).within for k in ks])
    if within[0] == 0:
        return np.zeros(len(ks))
    within = np.minimum.accumulate(within)  # a bad start of k + 1 is no worse than k
    return np.log(np.maximum(within / within[0], 1e-12))
