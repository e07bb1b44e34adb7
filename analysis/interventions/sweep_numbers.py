"""What is told of a patching sweep: means or shares of cells with their intervals, and which do more than chance."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtr, stdtrit

from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.ratios import ratio_interval
from analysis.interventions.bench import FEWEST
from analysis.interventions.sweeps import Swept


def told(found: Swept) -> bool:
    """Whether the difference between the runs can be told from 0."""
    gap = found.gap
    return bool(abs(gap.mean()) > 2 * gap.std(ddof=1) / np.sqrt(len(gap)) and gap.mean() != 0)


def mean_of(x: np.ndarray, n: np.ndarray) -> np.ndarray:
    return np.nansum(x, axis=2) / np.maximum(n, 1)


def cells(found: Swept, n: np.ndarray, shares: bool, rng):
    """Values, low, high and null (rows, columns)."""
    effect, null = mean_of(found.effect, n), mean_of(found.chance, n)
    if not shares:
        half = half_width(found.effect, n)
        return effect, effect - half, effect + half, null
    sign, low, high = np.sign(found.gap.mean()), np.empty_like(effect), np.empty_like(effect)
    values, chance = np.empty_like(effect), np.empty_like(effect)
    for at in np.ndindex(effect.shape):
        known = np.isfinite(found.effect[at])
        below = sign * found.gap[known]
        if not known.any() or below.sum() <= 0:
            values[at] = low[at] = high[at] = chance[at] = 0.0
            continue
        values[at] = sign * found.effect[at][known].sum() / below.sum()
        chance[at] = sign * found.chance[at][known].sum() / below.sum()
        low[at], high[at] = ratio_interval(sign * found.effect[at][known], below, rng, draws=400)
    return values, low, high, chance


def half_width(x: np.ndarray, n: np.ndarray) -> np.ndarray:
    centred = np.where(np.isfinite(x), x - mean_of(x, n)[..., None], 0.0)
    freedom = np.maximum(n - 1, 1)
    return stdtrit(freedom, 0.975) * np.sqrt((centred**2).sum(axis=2) / freedom / np.maximum(n, 1))


def significant(found: Swept, n: np.ndarray) -> np.ndarray:
    apart = found.effect - found.chance
    reach = half_width(apart, n) / stdtrit(np.maximum(n - 1, 1), 0.975)
    size = np.abs(mean_of(apart, n))
    t = np.divide(size, reach, out=np.where(size > 0, np.inf, 0.0), where=reach > 0)
    p = np.where(n < FEWEST, np.nan, 2 * stdtr(np.maximum(n - 1, 1), -t))
    return benjamini_hochberg(p) <= 0.05


def strongest(found: Swept, n: np.ndarray) -> tuple[int, int]:
    size = np.where(n >= FEWEST, np.abs(mean_of(found.effect, n)), -1.0)
    i, j = np.unravel_index(int(size.argmax()), size.shape)
    return int(i), int(j)


def strongest_by_chance(found: Swept, n) -> float:
    """As a cell is chosen for its effect, so is that of the null."""
    mean = np.where(n >= FEWEST, mean_of(found.chance, n), 0.0)
    return float(mean.flat[np.abs(mean).argmax()])
