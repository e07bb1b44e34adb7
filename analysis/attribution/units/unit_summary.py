"""Many samples' parts as one line for each unit: mean size with its interval, its rank with its interval, and what the
unit would have with the slope of another unit.

    size_j = mean |φ_j| ,   reach_j = mean |x_j - background_j| / sd x_j ,   slope_j = size_j / reach_j
    by chance_j = reach_j · mean of slope_k over the other units

Slopes are per standard deviation, so that units may be measured in anything: by chance is what a unit would have if the
network listened to all alike. Intervals are a Poisson
bootstrap over samples (each sample counted 0, 1, 2, … times with mean 1), which takes one pass and memory for one block
of samples. Rank 1 is the largest; its interval holds 95 % of the ranks in resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BLOCK = 256  # samples at once


@dataclass(frozen=True)
class UnitSummary:
    """Each (m,) with (draws, m) of the bootstrap behind: `size`, `chance`; `ranks` from 1. `draws_*` the resamples."""

    size: np.ndarray
    chance: np.ndarray
    ranks: np.ndarray
    draws_size: np.ndarray
    draws_chance: np.ndarray

    def interval(self, of: str) -> tuple[np.ndarray, np.ndarray]:
        """(m,) each: 95 % of `size`, `chance`, `over` (size less chance) or `ranks`, held around the value."""
        value, draws = {
            "size": (self.size, self.draws_size), "chance": (self.chance, self.draws_chance),
            "over": (self.size - self.chance, self.draws_size - self.draws_chance),
            "ranks": (self.ranks, ranks_of(self.draws_size)),
        }[of]  # fmt: skip
        nearest = "inverted_cdf" if of == "ranks" else "linear"
        low, high = np.quantile(draws, [0.025, 0.975], axis=0, method=nearest)
        return np.minimum(low, value), np.maximum(high, value)


def unit_summary(values: np.ndarray, reach: np.ndarray, draws: int, rng: np.random.Generator) -> UnitSummary:
    """Of `values` and `reach` (n, m). O(draws n m)."""
    n, m = values.shape
    count, size, far = np.zeros(draws), np.zeros((draws, m)), np.zeros((draws, m))
    for start in range(0, n, BLOCK):
        some = slice(start, start + BLOCK)
        times = rng.poisson(1.0, size=(draws, len(values[some]))).astype(np.float64)
        count += times.sum(axis=1)
        size += times @ np.abs(values[some])
        far += times @ reach[some]
    some = count > 0
    count, size, far = count[some, None], size[some], far[some]
    whole, reached = np.abs(values).mean(axis=0), reach.mean(axis=0)
    return UnitSummary(whole, by_chance(whole, reached), ranks_of(whole), size / count,
                       by_chance(size / count, far / count))  # fmt: skip


def by_chance(size: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """(…, m): reach times the mean slope of the other units that vary."""
    varies = reach > 0
    slope = np.divide(size, reach, out=np.zeros_like(size), where=varies)
    total, many = slope.sum(axis=-1, keepdims=True), varies.sum(axis=-1, keepdims=True)
    return reach * (total - slope) / np.maximum(many - varies, 1)


def ranks_of(size: np.ndarray) -> np.ndarray:
    """(…, m) from 1, the largest first; equal sizes share the better rank."""
    ordered = -np.sort(-size, axis=-1)
    flat = size.reshape(-1, size.shape[-1])
    lines = ordered.reshape(flat.shape)
    found = [np.searchsorted(-line, -own, side="left") + 1 for own, line in zip(flat, lines, strict=True)]
    return np.array(found).reshape(size.shape)
