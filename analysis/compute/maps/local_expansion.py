"""Where a map stretches and where it squeezes: neighbour distances, and a linear map fitted around each point.

    expansion   e_i = log2 sqrt(Σ_j |y_j - y_i|² / Σ_j |x_j - x_i|²), j over the k nearest in the data, minus its median
    surrogate   y_j ≈ c + J z_j by least squares, z_j the coordinates of point i and its neighbours on the first q
                principal axes of this neighbourhood

The singular values σ of J are map units per data unit along the ellipse's axes: sqrt(det J Jᵀ) = Π σ is the change of
area, σ_1 / σ_2 the anisotropy. Data scaled by 1 / s give s times the σ; principal components of data with at most q
dimensions have the same J everywhere. With fewer neighbours than dimensions J sees the neighbours' span only, and what
a linear map cannot say of the neighbourhood is stated as 1 - R².
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BLOCK_BYTES = 16 << 20
CELLS = 14  # of the grid for ellipses, along the longer side


@dataclass(frozen=True)
class LocalSurrogates:
    """`rows` (m,); `spread` (m, q') singular values of J, falling, q' = 2 or 3 (0 where the neighbourhood is flat);
    `angle` (m,) of the longer axis on the map (2-D); `r_squared` (m,) of the fit, NaN where nothing varies."""

    rows: np.ndarray
    spread: np.ndarray
    angle: np.ndarray
    r_squared: np.ndarray

    @property
    def area(self) -> np.ndarray:
        """sqrt(det J Jᵀ) (m,)."""
        return self.spread.prod(axis=1)

    @property
    def anisotropy(self) -> np.ndarray:
        """Longest over shortest axis (m,), infinite where the map folds the neighbourhood flat, NaN where it is a
        point."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.spread[:, 0] / self.spread[:, -1]


def neighbour_expansion(x: np.ndarray, y: np.ndarray, rows: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """log2 of map over data neighbour distance (m,), centred at its median; NaN where either is 0.

    x : (n, d) points, y : (n, 2 or 3) map, rows : (m,), indices : (m, k) their neighbours. O(m k d).
    """
    sums = []
    for space in (x, y):
        out = np.empty(len(rows))
        step = max(1, BLOCK_BYTES // (8 * space.shape[1] * indices.shape[1]))
        for i in range(0, len(rows), step):
            away = space[indices[i : i + step]] - space[rows[i : i + step], None]
            out[i : i + step] = np.einsum("ijk,ijk->i", away, away)
        sums.append(out)
    good = (sums[0] > 0) & (sums[1] > 0)
    found = np.full(len(rows), np.nan)
    found[good] = (np.log2(sums[1][good]) - np.log2(sums[0][good])) / 2
    return found - np.median(found[good]) if good.any() else found


def local_surrogates(
    x: np.ndarray, y: np.ndarray, rows: np.ndarray, indices: np.ndarray, axes: int | None = None
) -> LocalSurrogates:
    """The linear surrogate around the given points.

    axes : q, principal axes of the neighbourhood to fit on; by default a third of the neighbours, at least as many as
        the map has dimensions. Time O(m k² (d + k)), memory O(block).
    """
    k, p = indices.shape[1], y.shape[1]
    q = max(p, k // 3) if axes is None else axes
    spread, angle, fit = np.zeros((len(rows), p)), np.zeros(len(rows)), np.full(len(rows), np.nan)
    step = max(1, BLOCK_BYTES // (8 * (k + 1) * max(x.shape[1], k + 1)))
    for i in range(0, len(rows), step):
        here = np.column_stack([rows[i : i + step], indices[i : i + step]])
        jacobian, fit[i : i + step] = _fit(x[here], y[here], q)
        left, values, _ = np.linalg.svd(jacobian)
        spread[i : i + step, : values.shape[1]] = values
        angle[i : i + step] = np.arctan2(left[:, 1, 0], left[:, 0, 0]) if p > 1 else 0.0
    return LocalSurrogates(np.asarray(rows), spread, angle, fit)


def _fit(x: np.ndarray, y: np.ndarray, q: int) -> tuple[np.ndarray, np.ndarray]:
    """J (m, p, q) and R² (m,) of neighbourhoods x (m, k + 1, d), y (m, k + 1, p)."""
    x = x - x.mean(axis=1, keepdims=True)
    y = np.asarray(y, np.float64) - y.mean(axis=1, keepdims=True, dtype=np.float64)
    size = np.abs(x).max(axis=(1, 2), keepdims=True)
    x = x / np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.eigh(x @ x.transpose(0, 2, 1))
    values, vectors = values[:, -q:], vectors[:, :, -q:]
    keep = values > 1e-10 * np.maximum(values[:, -1:], 1e-300)
    root = np.where(keep, 1 / np.sqrt(np.where(keep, values, 1.0)), 0.0)
    along = y.transpose(0, 2, 1) @ (vectors * keep[:, None])
    whole = (y**2).sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        r_squared = np.where(whole > 0, (along**2).sum(axis=(1, 2)) / np.where(whole > 0, whole, 1.0), np.nan)
    return along * root[:, None] / np.where(size > 0, size, 1.0), r_squared


def grid_rows(y: np.ndarray, among: np.ndarray, cells: int = CELLS) -> tuple[np.ndarray, float]:
    """Places in `among` of the points nearest to the middle of each cell of a square grid over the map `y` (n, 2)
    that holds any of them, and the side of a cell. O(n log n)."""
    here = np.asarray(y, np.float64)[among]
    low = here.min(axis=0)
    side = float(np.ptp(here, axis=0).max()) / cells or 1.0
    cell = np.minimum((here - low) // side, cells - 1)
    away = ((here - low - (cell + 0.5) * side) ** 2).sum(axis=1)
    order = np.lexsort((away, cell[:, 1], cell[:, 0]))
    fresh = np.any(np.diff(cell[order], axis=0) != 0, axis=1)
    return order[np.r_[True, fresh]], side


def ellipses(y: np.ndarray, local: LocalSurrogates, side: float) -> np.ndarray:
    """(m, 5): centre (2), half axes (2) and angle in radians, of the image of a small ball around each point; drawn so
    that the median ellipse fills about a third of a cell's side. Flat ones are left out."""
    good = (local.area > 0) & np.isfinite(local.area)
    if not good.any():
        return np.empty((0, 5), np.float32)
    scale = 0.3 * side / np.median(np.sqrt(local.area[good]))
    half = np.minimum(scale * local.spread[good], 2 * side)
    centre = np.asarray(y, np.float64)[local.rows[good]]
    return np.column_stack([centre, half, local.angle[good]]).astype(np.float32)
