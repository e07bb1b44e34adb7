"""Intervals from groups of samples left out (jackknife), and of means over independent samples."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri, stdtr, stdtrit

from analysis.compute.statistics.multiple_testing import benjamini_hochberg
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


def mean_interval(
    values: np.ndarray, least: float = -np.inf, most: float = np.inf, chosen_of: int = 1
) -> dict:
    """95 % interval of the mean of `values` (n,), one for each independent sample, as an `Estimate` takes it: Student's
    t, held inside [least, most]; nothing for a single value. `chosen_of`: how many means it was chosen from after
    looking (the largest of so many); then as wide as holds for all of them together (Bonferroni)."""
    n = len(values)
    if n < 2:
        return {}
    mean, half = (
        float(values.mean()),
        stdtrit(n - 1, 1 - 0.025 / chosen_of) * float(values.std(ddof=1)) / np.sqrt(n),
    )
    low, high = max(mean - half, least), min(mean + half, most)
    said = "Student's t over samples" + (f", for all {chosen_of} together" if chosen_of > 1 else "")
    return {"low": float(low), "high": float(high), "interval": said}


def larger(values: np.ndarray, others: np.ndarray, rate: float = 0.05) -> np.ndarray:
    """(k,) bool: which of k means of `values` (n, k) are above those of `others` of the same samples; paired Student's
    t, one-sided, at this rate of false discoveries."""
    n, apart = len(values), values - others
    if n < 2:
        return np.zeros(values.shape[1], bool)
    mean, error = apart.mean(axis=0), apart.std(axis=0, ddof=1) / np.sqrt(n)
    size = 1e-9 * (np.abs(values).mean(axis=0) + np.abs(others).mean(axis=0))  # what rounding leaves
    t = np.where(error > size, mean / np.where(error > 0, error, 1), np.where(mean > size, np.inf, -np.inf))
    return benjamini_hochberg(stdtr(n - 1, -t)) <= rate


def share_interval(values: np.ndarray, chosen_of: int = 1) -> dict:
    """The same for shares `values` (n,) in [0, 1]: Wilson's, with as many draws as the values vary like; none of it is
    lost where all are 0 or all are 1."""
    n, mean = len(values), float(values.mean())
    spread = float(values.var(ddof=1)) / n if n > 1 else 0.0
    draws = min(n, mean * (1 - mean) / spread) if spread > 0 else n
    low, high = wilson(mean * draws, draws, float(ndtri(1 - 0.025 / chosen_of)))
    said = "Wilson, samples as draws" + (f", for all {chosen_of} together" if chosen_of > 1 else "")
    return {"low": min(low, mean), "high": max(high, mean), "interval": said}


def chosen_share(values: np.ndarray, chosen: int) -> dict:
    """`share_interval` of the row of values (k, n) that was chosen among them after looking."""
    return share_interval(values[chosen], len(values))
