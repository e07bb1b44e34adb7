"""The match of each layer of one network among those of another, at its relative depth, and whether order is kept."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from math import factorial

import numpy as np

from analysis.compute.similarity.hsic import null_deviation
from analysis.compute.similarity.similarity_grid import Grid
from analysis.compute.similarity.similarity_report import beyond_chance, jackknife_half
from analysis.compute.statistics.auroc import midranks

ALL_ORDERS = 7  # layers: up to 5,040 orders are all tried
DRAWS = 2000


@dataclass(frozen=True)
class Matches:
    """Of each layer of the first network: `best` (p,) its match among the q layers, `cka` (1 + G, p) with it; `sure`
    (p,) beyond chance; `depth`, `low` and `high` (p,), NaN without a match; `layers` q."""

    best: np.ndarray
    cka: np.ndarray
    sure: np.ndarray
    depth: np.ndarray
    low: np.ndarray
    high: np.ndarray
    layers: int


def depths(count: int) -> np.ndarray:
    """Relative depth (count,) of layers in order: 0 to 1; 1 for a single one."""
    return np.linspace(0, 1, count) if count > 1 else np.ones(1)


def best_of_unrelated(n: int, layers: int) -> float:
    """Upper bound of the mean of the largest of so many CKAs, each of mean 0 and the null's deviation, however they
    depend on each other: deviation sqrt(layers - 1) (T. Aven 1985)."""
    return null_deviation(n) * float(np.sqrt(layers - 1))


def matched(grid: Grid, mine: np.ndarray) -> Matches:
    """The best of the columns `mine` of a grid (mask) for each row, and all that are not clearly worse."""
    series, sure = grid.series[:, :, mine], beyond_chance(grid)[:, mine]
    best = series[0].argmax(axis=1)
    p, place = np.arange(len(best)), depths(series.shape[2])
    gap = series[:, p, best][:, :, None] - series
    half = jackknife_half(gap)
    near = np.where(np.isfinite(half), gap[0] - half <= 0, False)
    near[p, best] = True
    matched = sure[p, best]
    ends = [np.where(near, place, fill) for fill in (np.inf, -np.inf)]
    low, high = ends[0].min(axis=1), ends[1].max(axis=1)
    depth, low, high = (np.where(matched, v, np.nan) for v in (place[best], low, high))
    return Matches(best, series[:, p, best], matched, depth, low, high, series.shape[2])


def order_kept(depth: np.ndarray, rng) -> tuple[float, np.ndarray, str]:
    """Spearman of the depths with the order of the layers, and what other orders give."""
    ranks = midranks(depth[:, None].astype(np.float64))[0][:, 0]
    k = len(ranks)
    own = np.arange(k) - (k - 1) / 2
    ranks = ranks - ranks.mean()
    scale = np.sqrt((own @ own) * (ranks @ ranks))
    if scale == 0:
        return 0.0, np.zeros(1), "all"
    if k <= ALL_ORDERS:
        null = np.array([own[list(o)] @ ranks for o in permutations(range(k))]) / scale
        return float(own @ ranks / scale), null, f"all {factorial(k):,}"
    null = np.array([rng.permutation(own) @ ranks for _ in range(DRAWS)]) / scale
    return float(own @ ranks / scale), null, "drawn"
