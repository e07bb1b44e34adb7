"""Heat maps and two-dimensional Gaussians: the target of a landmark, the Gaussian nearest to a map, where its peak is.

    g(p) = exp(-|p - c|² / (2 σ²))           target of a landmark at c, p the places of the map, σ in cells
    min over a, b, c, σ of Σ (h - a - b g)²   the Gaussian of a map itself, by Levenberg and Marquardt's steps

Of a Gaussian whose centre lies anywhere in its cell, alike, the largest cell is off by the mean distance of a point of
a unit square from its middle, (√2 + ln(1 + √2)) / 6; a quarter of a cell towards the larger neighbour leaves half of
that. The vertex of a parabola through the logarithms of the largest cell and its neighbours leaves nothing.

Arrays are (m maps, T places), `there` (m, T) which places are known, `cells` (T, 2) column and row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

OFF = float((np.sqrt(2) + np.log(1 + np.sqrt(2))) / 6)  # of the largest cell of a perfect Gaussian, in cells
STEPS, AT_ONCE, NARROWEST = 25, 40_000, 0.2  # of a fit; places; cells
FLAT = 1e-12  # of a map's largest number


@dataclass(frozen=True)
class Fits:
    """`centre` (m, 2), `width` (m,) in cells, `base` and `height` (m,), and `r2` (m,), the share that it explains of a
    map, 0 where it is a dip and no peak."""

    centre: np.ndarray
    width: np.ndarray
    base: np.ndarray
    height: np.ndarray
    r2: np.ndarray

    def maps(self, cells: np.ndarray) -> np.ndarray:
        """(m, T) of height 1 on base 0."""
        return bells(self.centre, self.width, cells)


def bells(centre: np.ndarray, width: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """(m, T) Gaussians of height 1 about centres (m, 2); `width` a number or (m,)."""
    far = np.square(cells[None] - centre[:, None]).sum(axis=2)
    return np.exp(-far / (2 * np.square(np.broadcast_to(width, len(centre)))[:, None]))


def told_flat(h: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(m,) which maps do not vary."""
    low, high = (f(np.where(there, h, e), axis=1) for f, e in ((np.min, np.inf), (np.max, -np.inf)))
    return ~(high - low > FLAT * np.maximum(np.maximum(np.abs(low), np.abs(high)), 1e-300))


def peaks(h: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(m,) place of the largest number."""
    return np.where(there, h, -np.inf).argmax(axis=1)


def moved_peaks(h: np.ndarray, there: np.ndarray, grid: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """((m, 2) the largest cell moved by a quarter towards the larger neighbour along each axis; (m, 2) moved to the
    vertex of the parabola through the logarithms, at most one cell). At an edge it stays along that axis."""
    m, at = len(h), peaks(h, there)
    board = np.full((m, grid[0] + 2, grid[1] + 2), np.nan)
    board[:, 1:-1, 1:-1] = np.where(there, h, np.nan).reshape(m, *grid)
    row, column = np.divmod(at, grid[1])
    every = np.arange(m)
    top = board[every, row + 1, column + 1]
    quarter, vertex = (np.stack([column, row], axis=1).astype(np.float64) for _ in range(2))
    for axis, (down, right) in enumerate(((0, 1), (1, 0))):
        before, after = (board[every, row + 1 + s * down, column + 1 + s * right] for s in (-1, 1))
        known = np.isfinite(before) & np.isfinite(after)
        quarter[:, axis] += np.where(known, 0.25 * np.sign(np.nan_to_num(after - before)), 0.0)
        good = known & (np.minimum(before, after) > 0)
        a, b, c = (np.log(np.where(good, v, 1.0)) for v in (before, top, after))
        bend = 2 * b - a - c
        step = np.where(good & (bend > 0), (c - a) / (2 * np.where(bend > 0, bend, 1.0)), 0.0)
        vertex[:, axis] += np.clip(step, -1.0, 1.0)
    return quarter, vertex


def fits(h: np.ndarray, there: np.ndarray, cells: np.ndarray, told=lambda f: None) -> Fits:
    """The Gaussian nearest to each map, none of which is flat, started at its largest cell with the width that the
    area above half of its height has. O(m T) for each of at most 25 steps."""
    found, size = [], max(AT_ONCE // h.shape[1], 1)
    for start in range(0, len(h), size):
        told(start / len(h))
        found.append(_fits(h[start : start + size], there[start : start + size].astype(float), cells))
    if not found:
        return Fits(np.zeros((0, 2)), *(np.zeros(0) for _ in range(4)))
    return Fits(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _fits(h, known, cells):
    count = known.sum(axis=1)
    middle = (known * h).sum(axis=1) / count
    scale = np.sqrt((known * np.square(h - middle[:, None])).sum(axis=1) / count)
    y = np.where(known > 0, (h - middle[:, None]) / scale[:, None], 0.0)
    theta = _started(y, known, cells)
    low, high = cells.min(axis=0) - 1, cells.max(axis=0) + 1
    widest = float(np.ptp(cells, axis=0).max()) + 1
    damp, (left, bell) = np.full(len(h), 1e-3), _left(y, known, cells, theta)
    cost = np.square(left).sum(axis=1)
    for _ in range(STEPS):
        step = _step(left, bell, known, cells, theta, damp)
        trial = theta + step
        trial[:, 2:4] = np.clip(trial[:, 2:4], low, high)
        trial[:, 4] = np.clip(trial[:, 4], np.log(NARROWEST), np.log(widest))
        other, shape = _left(y, known, cells, trial)
        new = np.square(other).sum(axis=1)
        better = new < cost
        theta[better], left[better], bell[better] = trial[better], other[better], shape[better]
        gain = np.where(better, cost - new, 0.0)
        cost = np.where(better, new, cost)
        damp = np.clip(np.where(better, damp / 4, damp * 6), 1e-9, 1e9)
        if (gain <= 1e-13 * count).all() and (damp > 1e3).all():
            break
    r2 = np.where(theta[:, 1] > 0, 1 - cost / np.square(y).sum(axis=1), 0.0)
    return theta[:, 2:4], np.exp(theta[:, 4]), middle + scale * theta[:, 0], scale * theta[:, 1], r2


def _started(y, known, cells) -> np.ndarray:
    at = peaks(y, known > 0)
    low = np.where(known > 0, y, np.inf).min(axis=1)
    top = y[np.arange(len(y)), at]
    above = (known * (y > ((low + top) / 2)[:, None])).sum(axis=1)
    width = np.sqrt(np.maximum(above, 1) / (2 * np.pi * np.log(2)))
    return np.column_stack([low, top - low, cells[at], np.log(np.maximum(width, 0.5))])


def _left(y, known, cells, theta):
    """((m, T) what is left of the maps, 0 where nothing is known; (m, T) the bells)."""
    bell = bells(theta[:, 2:4], np.exp(theta[:, 4]), cells)
    return known * (y - theta[:, :1] - theta[:, 1:2] * bell), bell


def _step(left, bell, known, cells, theta, damp) -> np.ndarray:
    away = cells[None] - theta[:, None, 2:4]
    size = np.exp(-2 * theta[:, 4])[:, None]
    slope = theta[:, 1:2] * bell * size
    far = np.square(away).sum(axis=2)
    j = np.stack(
        [np.ones_like(bell), bell, slope * away[:, :, 0], slope * away[:, :, 1], slope * far], axis=1
    )
    j *= known[:, None]
    normal = j @ j.transpose(0, 2, 1)
    right = j @ left[:, :, None]
    diagonal = np.einsum("mii->mi", normal)
    diagonal += damp[:, None] * np.maximum(diagonal, 1e-9) + 1e-12
    return np.linalg.solve(normal, right)[:, :, 0]
