"""Intervals from groups of samples left out (jackknife), and of means over independent samples."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

from analysis.compute.statistics.nulls import wilson

GROUPS = 10
FEWEST = 3  # groups: with fewer there is no spread to speak of


def groups_of(n: int, rng: np.random.Generator) -> np.ndarray:
    """Group (n,) of each sample, at random: ten groups, or one sample each below 20."""
    return rng.permutation(np.arange(n) % (GROUPS if n >= 2 * GROUPS else n))


def sample_groups(n: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Sample numbers (rising) of each of these groups."""
    of = groups_of(n, rng)
    return [np.flatnonzero(of == g) for g in range(of.max() + 1)]


def jackknife_error(without: np.ndarray) -> np.ndarray:
    """Standard error of a statistic from its values without each group, `without` (G, …)."""
    g = len(without)
    return np.sqrt((g - 1) / g * ((without - without.mean(axis=0)) ** 2).sum(axis=0))


def jackknife_half(without: np.ndarray) -> np.ndarray | None:
    """Half-width of the 95 % interval by Student's t; None for fewer than three groups."""
    if len(without) < FEWEST:
        return None
    return stdtrit(len(without) - 1, 0.975) * jackknife_error(without)


def mean_interval(values: np.ndarray, least: float = -np.inf, most: float = np.inf) -> dict:
    """95 % interval of the mean of `values` (n,), one for each independent sample, as an `Estimate` takes it: Student's
    t, held inside [least, most]; nothing for a single value."""
    n = len(values)
    if n < 2:
        return {}
    mean, half = float(values.mean()), stdtrit(n - 1, 0.975) * float(values.std(ddof=1)) / np.sqrt(n)
    low, high = max(mean - half, least), min(mean + half, most)
    return {"low": float(low), "high": float(high), "interval": "Student's t over samples"}


def share_interval(values: np.ndarray) -> dict:
    """The same for shares `values` (n,) in [0, 1]: Wilson's, with as many draws as the values vary like; none of it is
    lost where all are 0 or all are 1."""
    n, mean = len(values), float(values.mean())
    spread = float(values.var(ddof=1)) / n if n > 1 else 0.0
    draws = min(n, mean * (1 - mean) / spread) if spread > 0 else n
    low, high = wilson(mean * draws, draws)
    return {"low": min(low, mean), "high": max(high, mean), "interval": "Wilson, samples as draws"}
