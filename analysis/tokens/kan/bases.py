"""Families of functions of one number that edges are made of.

    B-spline    of order p on knots t: Cox and de Boor's recursion; they add up to 1 between t_p and t_{m-1-p}
    Chebyshev   T_k(tanh x) = cos(k arccos(tanh x))
    Fourier     cos(k x) and sin(k x), k = 1, 2, …
    SiLU        x / (1 + e^-x), one number

Reference: Z. Liu et al. (2024), "KAN: Kolmogorov-Arnold networks" (B-splines and SiLU).
"""

from __future__ import annotations

import numpy as np

SPLINE, CHEBYSHEV, FOURIER, SILU = "B-spline", "Chebyshev", "Fourier", "SiLU"


def b_splines(x: np.ndarray, knots: np.ndarray, order: int) -> np.ndarray:
    """(n, m - order - 1) values of the splines on m rising knots at x (n,); 0 beyond them."""
    x, t = np.asarray(x, np.float64)[:, None], np.asarray(knots, np.float64)
    out = ((x >= t[:-1]) & (x < t[1:])).astype(np.float64)
    for p in range(1, order + 1):
        left, right = t[p:-1] - t[: -p - 1], t[p + 1 :] - t[1:-p]
        rise = np.where(left > 0, (x - t[: -p - 1]) / np.where(left > 0, left, 1), 0.0)
        fall = np.where(right > 0, (t[p + 1 :] - x) / np.where(right > 0, right, 1), 0.0)
        out = rise * out[:, :-1] + fall * out[:, 1:]
    return out


def chebyshev(x: np.ndarray, size: int) -> np.ndarray:
    """(n, size) T_0, T_1, … of tanh x."""
    angle = np.arccos(np.clip(np.tanh(x), -1, 1))
    return np.cos(angle[:, None] * np.arange(size))


def fourier(x: np.ndarray, size: int) -> np.ndarray:
    """(n, size): cosines of 1, 2, … in the first half, sines in the second."""
    angle = np.asarray(x)[:, None] * np.arange(1, size // 2 + 1)
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=1)


def silu(x: np.ndarray) -> np.ndarray:
    """(n, 1)."""
    return (x / (1 + np.exp(-np.clip(x, -500, 500))))[:, None]


def even_knots(low: float, high: float, intervals: int, order: int) -> np.ndarray:
    """Knots of `intervals` equal parts of [low, high], run on by `order` at each end."""
    step = (high - low) / intervals
    return low + step * np.arange(-order, intervals + order + 1)
