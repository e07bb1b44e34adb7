"""A quantity on one image grid carried to another by bilinear interpolation, so that two networks can be compared place
by place."""

from __future__ import annotations

import numpy as np


def bilinear(source: tuple[int, int], target: tuple[int, int]) -> np.ndarray:
    """Weights (target places, source places), rows summing to 1, for grids (height, width) over the same picture.

    Centres of cells are matched, as `align_corners=False` does elsewhere; beyond the outermost centres the value stays.
    A constant stays constant, and a grid carried to itself is unchanged.
    """
    rows, columns = (_line(s, t) for s, t in zip(source, target, strict=True))
    return np.kron(rows, columns)


def _line(source: int, target: int) -> np.ndarray:
    """(target, source) weights along one side."""
    at = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    left = np.minimum(np.floor(at).astype(int), source - 1)
    right, share = np.minimum(left + 1, source - 1), at - left
    weights = np.zeros((target, source))
    weights[np.arange(target), left] += 1 - share
    weights[np.arange(target), right] += share
    return weights


def region_means(values: np.ndarray, grid: tuple[int, int], side: int) -> np.ndarray:
    """`values` (…, height x width) with every place set to the mean of its square region of `side` places, NaN left
    out; regions at the lower and right edges may be smaller."""
    height, width = grid
    picture = values.reshape(*values.shape[:-1], height, width)
    out = np.empty_like(picture)
    for i in range(0, height, side):
        for j in range(0, width, side):
            part = picture[..., i : i + side, j : j + side]
            known = np.isfinite(part)
            count = known.sum(axis=(-2, -1))
            total = np.where(known, part, 0.0).sum(axis=(-2, -1))
            mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
            out[..., i : i + side, j : j + side] = mean[..., None, None]
    return out.reshape(values.shape)
