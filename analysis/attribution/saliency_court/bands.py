"""Ratios of means over samples with bootstrap bands: numerators of many places, one denominator."""

from __future__ import annotations

import numpy as np

DRAWS = 1000


def ratio_of_means(
    above: np.ndarray, below: np.ndarray, rng: np.random.Generator, *, draws: int = DRAWS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Σ above / Σ below (…), and its percentile 95 % band, of `above` (n, …) and `below` (n,), samples drawn together.

    Draws whose denominator changes its sign are left out: the ratio means nothing there. O(draws n places).
    """
    n, flat = len(above), np.asarray(above, np.float64).reshape(len(above), -1)
    value = flat.sum(axis=0) / below.sum()
    times = rng.multinomial(n, np.full(n, 1.0 / n), size=draws).astype(np.float64)
    bottom = times @ below
    good = np.sign(bottom) == np.sign(below.sum())
    if not good.any():
        low = high = value
    else:
        ratios = (times[good] @ flat) / bottom[good, None]
        low, high = np.percentile(ratios, [2.5, 97.5], axis=0)
    shape = above.shape[1:]
    low, high = np.minimum(low, value), np.maximum(high, value)
    return value.reshape(shape), low.reshape(shape), high.reshape(shape)


def mean_band(values: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over samples (n, …) and its bootstrap 95 % band."""
    return ratio_of_means(values, np.ones(len(values)), rng)
