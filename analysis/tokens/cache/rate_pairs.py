"""How far rate curves of taps lie apart, pair by pair, and by chance: over groups of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.tokens.cache.rates import bjontegaard


class Curved(Protocol):
    def curve(self, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(rate, quality) of the chosen groups (G,) bool."""
        ...


def log_ratio(one, other, names) -> float:
    """ln of one plus the BD-rate."""
    return float(np.log1p(bjontegaard(one, other, names)))


def pair_ratios(
    found: Sequence[Curved], names: Sequence[str], groups: int
) -> dict[tuple[int, int], tuple[float, float]]:
    """(mean of ln R of the second over the first, half of its interval) by pair."""
    whole, out = np.ones(groups, bool), {}
    parts = [whole, *(np.arange(groups) != g for g in range(groups))]
    curves = [[one.curve(part) for part in parts] for one in found]
    for i in range(len(found)):
        for j in range(i + 1, len(found)):
            each = [log_ratio(a, b, (names[i], names[j])) for a, b in zip(curves[i], curves[j], strict=True)]
            out[i, j] = each[0], float(jackknife_half(np.array(each[1:])))
    return out


def half_ratios(
    found: Sequence[Curved], names: Sequence[str], groups: int, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """(taps, draws) ln of rates of one half of the samples over the other, for all samples."""
    out = np.zeros((len(found), draws))
    for k in range(draws):
        half = np.isin(np.arange(groups), rng.permutation(groups)[: groups // 2])
        for i, one in enumerate(found):
            out[i, k] = log_ratio(one.curve(half), one.curve(~half), (names[i],) * 2) / np.sqrt(2)
    return out
