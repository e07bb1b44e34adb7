"""Convolution and local attention as T x T matrices over tokens on a line or a grid.

A causal filter K gives M[t, s] = K[t - s]; a filter (p, q) on a grid gives one line of diagonals for each of its
weights; neighbourhood attention H x W x k², dilated by δ, reaches δ (k - 1) + 1 cells. The plane recurrence
h(i, j) = a h(i - 1, j) + b h(i, j - 1) + x answers an impulse by C(i + j, i) a^i b^j.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, xlogy

from analysis.errors import InputError, ShapeError


def causal_matrix(kernel: np.ndarray, tokens: int) -> np.ndarray:
    """(T, T) of a filter (lags,): M[t, s] = K[t - s]."""
    lag = np.arange(tokens)[:, None] - np.arange(tokens)[None]
    inside = (lag >= 0) & (lag < len(kernel))
    return np.where(inside, np.asarray(kernel, np.float64)[np.clip(lag, 0, len(kernel) - 1)], 0.0)


def grid_matrix(weights: np.ndarray, grid: tuple[int, int], dilation: int = 1) -> np.ndarray:
    """(HW, HW) of a filter (p, q), odd sides, as convolution layers have it (a correlation), zeros outside."""
    p, q = weights.shape
    if p % 2 == 0 or q % 2 == 0:
        raise InputError(f"a filter of {p} x {q}", "odd sides, so that a cell has a centre")
    rows, columns = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    out = np.zeros((len(rows), len(rows)))
    for i in range(p):
        for j in range(q):
            r, c = rows + dilation * (i - p // 2), columns + dilation * (j - q // 2)
            inside = (r >= 0) & (r < grid[0]) & (c >= 0) & (c < grid[1])
            out[np.flatnonzero(inside), (r * grid[1] + c)[inside]] += weights[i, j]
    return out


def expanded(local: np.ndarray, dilation: int = 1) -> np.ndarray:
    """(HW, HW) of neighbourhood attention (H, W, k, k) or (H, W, k²): at a border the window is moved inside, as
    neighbourhood attention does, in steps of the dilation.

    Raises ShapeError where no window fits.
    """
    h, w = local.shape[:2]
    k = int(round(np.sqrt(local.shape[2]))) if local.ndim == 3 else local.shape[2]
    if k * k * h * w != local.size or k % 2 == 0 or dilation * (k - 1) + 1 > min(h, w):
        raise ShapeError(
            f"local attention {local.shape}, dilation {dilation}",
            "(H, W, k, k) with an odd k and a span dilation (k - 1) + 1 inside the grid",
        )
    local = local.reshape(h, w, k, k)
    out = np.zeros((h, w, h, w))
    for i in range(h):
        for j in range(w):
            r, c = window(i, h, k, dilation), window(j, w, k, dilation)
            out[i, j][np.ix_(r, c)] = local[i, j]
    return out.reshape(h * w, h * w)


def window(at: int, length: int, k: int, dilation: int) -> np.ndarray:
    """(k,) places that the token at `at` reads, all of its own residue modulo the dilation."""
    own = np.arange(at % dilation, length, dilation)
    if len(own) < k:
        raise ShapeError(f"{len(own)} places with dilation {dilation}", f"at least {k}")
    start = np.clip(at // dilation - k // 2, 0, len(own) - k)
    return own[start : start + k]


def two_axis_response(a: float, b: float, grid: tuple[int, int]) -> np.ndarray:
    """(H, W) answer to an impulse at the first cell: C(i + j, i) a^i b^j, for a, b >= 0."""
    i, j = np.ogrid[: grid[0], : grid[1]]
    return np.exp(gammaln(i + j + 1) - gammaln(i + 1) - gammaln(j + 1) + xlogy(i, a) + xlogy(j, b))


def two_axis_matrix(a: float, b: float, grid: tuple[int, int]) -> np.ndarray:
    """(HW, HW) of the plane recurrence: what lies above or left of a cell."""
    answer = two_axis_response(a, b, grid)
    rows, columns = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    i, j = rows[:, None] - rows[None], columns[:, None] - columns[None]
    return np.where((i >= 0) & (j >= 0), answer[np.maximum(i, 0), np.maximum(j, 0)], 0.0)
