"""Which classes a group of samples holds more or less of than all samples do."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import wilson
from dashboard.browse.labels import Labels


@dataclass(frozen=True)
class ClassShare:
    """One class: `inside` of the group's `n` samples against `base` (share of all samples). low, high: Wilson's
    95 % interval of the share inside. chance_low, chance_high: the middle 95 % of what drawing n samples at
    random gives (hypergeometric). q: two-sided, Benjamini-Hochberg over the classes."""

    name: str
    inside: int
    n: int
    low: float
    high: float
    base: float
    chance_low: float
    chance_high: float
    q: float

    @property
    def share(self) -> float:
        return self.inside / self.n


def class_shares(labels: Labels, inside: np.ndarray) -> list[ClassShare]:
    """The classes of the samples `inside` (samples,) bool, the largest first."""
    known = labels.codes >= 0
    mine = np.bincount(labels.codes[known & np.asarray(inside, bool)], minlength=len(labels.names))
    n, total = int(mine.sum()), int(labels.sizes.sum())
    if not n:
        return []
    low, high, p = _chance(total, labels.sizes, n, mine)
    q = benjamini_hochberg(p)
    found = [
        ClassShare(name, int(k), n, *wilson(int(k), n), size / total, a / n, b / n, float(v))
        for name, k, size, a, b, v in zip(labels.names, mine, labels.sizes, low, high, q, strict=True)
        if size
    ]
    return sorted(found, key=lambda c: (-c.inside, -c.base))


def _chance(total: int, whole: np.ndarray, n: int, mine: np.ndarray):
    """Hypergeometric 95 % range and two-sided p (twice the smaller tail) of each class."""
    from scipy.stats import hypergeom

    law = hypergeom(total, whole, n)
    tails = np.minimum(law.cdf(mine), law.sf(mine - 1))
    return law.ppf(0.025), law.ppf(0.975), np.minimum(2 * tails, 1.0)


@functools.lru_cache(maxsize=512)
def best_by_chance(class_sizes: tuple[int, ...], n: int, draws: int = 2000) -> np.ndarray:
    """Size of the largest class among n samples drawn without looking at labels, (draws,) rising; seeded.

    Looking for the largest of C classes finds one in noise too; this is what it finds.
    """
    sizes = np.array([size for size in class_sizes if size > 0], np.int64)
    if not len(sizes) or n <= 0:
        return np.zeros(draws, np.int64)
    rng = np.random.default_rng(0)
    drawn = rng.multivariate_hypergeometric(sizes, min(n, int(sizes.sum())), size=draws, method="marginals")
    return np.sort(drawn.max(axis=1))
