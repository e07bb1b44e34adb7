"""Gates that open one by one: sigmoids of channels, positions or learners, each between 0 and 1.

A table of gates g (images, channels) is a sum of parts that vary over one, the other, or both:

    g_ic = m + a_c + b_i + e_ic        variance = that of a (static scaling) + of b (volume) + of e (content)

Where nothing but a is left, the gate is a fixed number for each channel, and could be multiplied into the weights.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

TAKEN, SQUASHED = "gates between 0 and 1", "numbers whose sigmoid is the gate"


def open_gates(values: np.ndarray) -> tuple[np.ndarray, str]:
    """Gates of the shape of `values`, and what those were taken for: gates where all lie between 0 and 1."""
    if values.min() >= 0 and values.max() <= 1:
        return values, TAKEN
    return expit(values), SQUASHED


def variance_parts(g: np.ndarray) -> np.ndarray:
    """(static, volume, content) shares of the variance of g (images, channels), of sum 1; 0 where nothing varies."""
    x = g - g.mean()
    static, volume = x.mean(axis=0), x.mean(axis=1)
    left = x - static - volume[:, None]
    parts = np.array([np.square(static).mean(), np.square(volume).mean(), np.square(left).mean()])
    whole = parts.sum()
    return parts / whole if whole > 1e-24 else np.zeros(3)


def count_by_chance(rates: np.ndarray) -> np.ndarray:
    """(E + 1,) probabilities of how many of E independent gates are open, each with its rate (Poisson-binomial)."""
    p = np.ones(1)
    for r in rates:
        p = np.convolve(p, [1 - r, r])
    return p
