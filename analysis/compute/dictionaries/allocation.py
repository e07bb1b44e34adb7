"""How a dictionary spends its activity: features per row, rows per feature.

Rows per feature by rank r follow a Zipf law where log count = a - s log r: s by least squares over ranks spaced evenly
in log r, so that the many rare features do not outvote the frequent ones. A dictionary that gave every feature the same
share has s near 0. Features per row vary as Σ p (1 - p) where features fire independently at their rates p: a ratio
above 1 spends more on some rows than on others, a TopK that is always full has 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from analysis.activations import Activations
from analysis.compute.dictionaries.sparse_codes import code_blocks
from analysis.compute.streaming import Pass
from analysis.spec import Progress

RANKS = 60  # places on the line


@dataclass(frozen=True)
class Spent:
    """`fired` (G, k) rows in which each feature is not 0, by group of samples; `per_row` (G, k + 1) rows by number of
    active features; `rows` (G,)."""

    fired: np.ndarray
    per_row: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        return self.per_row.sum(axis=1)


def spent(codes: Activations, group: np.ndarray, seen: Pass, progress: Progress, span) -> Spent:
    """One pass; `group` (n_samples,) number of each sample's group. O(entries)."""
    k, count = codes.shape[1], int(group.max()) + 1
    fired, per_row = np.zeros((count, k), np.int64), np.zeros((count, k + 1), np.int64)
    for rows, c in code_blocks(codes, seen, progress, span):
        of = group[codes.layout.sample_of(rows)]
        active = np.diff(c.indptr)
        np.add.at(per_row, (of, active), 1)
        np.add.at(fired, (np.repeat(of, active), c.indices), 1)
    return Spent(fired, per_row)


def ranks(alive: int) -> np.ndarray:
    """Ranks from 1, evenly spaced in their logarithm."""
    return np.unique(np.round(np.geomspace(1, alive, min(RANKS, alive))).astype(np.int64))


def zipf(count: np.ndarray) -> tuple[float, float]:
    """(exponent s, intercept a) of counts (k,), those above 0; natural logarithms. (0, log count) for a single one."""
    kept = np.sort(count[count > 0])[::-1].astype(np.float64)
    at = ranks(len(kept))
    x, y = np.log(at), np.log(kept[at - 1])
    if len(at) < 2:
        return 0.0, float(y[0])
    z = x - x.mean()
    slope = float(z @ y / (z @ z))
    return -slope, float(y.mean() - slope * x.mean())


def dispersion(per_row: np.ndarray, fired: np.ndarray) -> float | None:
    """Variance of the features per row over that of independent features; None where these would not vary."""
    n, sizes = per_row.sum(), np.arange(len(per_row))
    p = fired / n
    expected = float((p * (1 - p)).sum())
    mean = float((sizes * per_row).sum() / n)
    return float((per_row * (sizes - mean) ** 2).sum() / n / expected) if expected > 1e-12 else None


def independent_share(sizes: np.ndarray, fired: np.ndarray, n: int) -> np.ndarray:
    """Share of rows with each number of active features (m,) where features are independent: the normal law between
    half numbers, exact in mean and variance."""
    p = fired / n
    mean, deviation = float(p.sum()), float(np.sqrt((p * (1 - p)).sum()))
    if deviation < 1e-9:
        return (sizes == round(mean)).astype(np.float64)
    return ndtr((sizes + 0.5 - mean) / deviation) - ndtr((sizes - 0.5 - mean) / deviation)


def even_counts(total: int, k: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Rows per feature (k,) where every feature has the same share of the `total` of active ones in n rows."""
    return rng.binomial(n, min(total / max(k * n, 1), 1.0), size=k)
