"""The units that single out each class from all other samples: gates of classes, how they overlap and use the units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.arrays import upper
from analysis.compute.groups.group_effects import group_effects
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.set_overlap import jaccard, overlap_p, random_sets

LEVEL = 0.05  # false-discovery rate


@dataclass(frozen=True)
class Gates:
    """`sets` (C, d) bool of the classes `chosen` (C,), and the units that vary (d,)."""

    sets: np.ndarray
    chosen: np.ndarray
    varies: np.ndarray


def class_gates(x: np.ndarray, of: np.ndarray, chosen: np.ndarray, difference: float) -> Gates:
    """Gates of the classes `chosen` (C,) against all other rows of `x` (n, d); `of` (n,) class numbers. O(n d C)."""
    effects = group_effects(x, of == chosen[:, None])
    q = benjamini_hochberg(np.where(effects.varies, effects.p, np.nan))
    return Gates((q < LEVEL) & (np.abs(effects.g) >= difference), chosen, effects.varies)


def usage(sets: np.ndarray) -> tuple[float, float, float]:
    """Share of the units of `sets` (C, d) in no gate and in one only, and the most gates that use one unit."""
    used = sets.sum(axis=0)
    return float((used == 0).mean()), float((used == 1).mean()), float(used.max())


def random_gates(gates: Gates, draws: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random gates of the same sizes among the units that vary: `overlaps` (draws x pairs,), their `mean` (draws,), and
    `uses` (draws, 3) as `usage` has them. O(draws C² d)."""
    sizes, varying, d = gates.sets.sum(axis=1), int(gates.varies.sum()), len(gates.varies)
    overlaps, uses = [], []
    for _ in range(draws):
        sets = np.zeros((len(sizes), d), bool)
        sets[:, :varying] = random_sets(sizes, varying, rng)
        overlaps.append(upper(jaccard(sets)))
        uses.append(usage(sets))
    return {"overlaps": np.concatenate(overlaps), "mean": np.mean(overlaps, axis=1), "uses": np.array(uses)}


def shares_more(gates: Gates) -> np.ndarray:
    """(C, C) bool: two gates share more units than random ones of their sizes (false-discovery rate 5 % over pairs)."""
    p = overlap_p(gates.sets[:, gates.varies])
    i, j = np.triu_indices(len(p), 1)
    sure = np.zeros(p.shape, bool)
    sure[i, j] = sure[j, i] = benjamini_hochberg(p[i, j]) < LEVEL
    return sure


def mean_interval(overlap: np.ndarray) -> tuple[float | None, float | None]:
    """95 % interval of the mean overlap of pairs of classes, leaving out one class at a time; from four classes on."""
    c = len(overlap)
    if c < 4:
        return None, None
    total = upper(overlap).sum()
    without = (total - (overlap.sum(axis=1) - np.diag(overlap))) / ((c - 1) * (c - 2) / 2)
    half = stdtrit(c - 1, 0.975) * np.sqrt((c - 1) / c * ((without - without.mean()) ** 2).sum())
    mean = total / (c * (c - 1) / 2)
    return float(max(0.0, mean - half)), float(min(1.0, mean + half))
