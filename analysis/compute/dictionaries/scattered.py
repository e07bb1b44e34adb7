"""Are non-negative codes scattered enough that no other non-negative factorisation explains the same activations?

Codes H (n rows, r features), H >= 0, are sufficiently scattered when q* = max |x|² over {x : H x >= 0, Σ x = 1} is 1
and attained at unit vectors only (Huang, Sidiropoulos & Swami 2014). Unit vectors are always feasible, so q* >= 1. An x
beyond them is a trade: codes moved along it stay non-negative. Scaling a feature changes q*, and any scaling that
passes is enough.

    exact       all vertices of the polytope, as facets of the hull of its polar points; up to 8 features
    enough      every feature has a row where it alone fires (separable): q* = 1 for any number of features
    refuted     feature j fires only where i does: x = (1 + t) e_i - t e_j is feasible up to t = min h_i / (h_j - h_i),
                so q* >= (1 + t)² + t² > 1; for any number of features
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csc_array, csr_array

MOST_EXACT = 8  # features whose polytope is enumerated
TOLERANCE = 1e-6  # of |x|²
UNBOUNDED = np.inf


@dataclass(frozen=True)
class Vertices:
    """`q` = q* (infinite where the codes allow any trade), the largest vertex or ray `x` (r,), and whether the codes
    are `scattered`: q* = 1, at unit vectors only."""

    q: float
    x: np.ndarray
    scattered: bool


def enumerate_vertices(h: np.ndarray) -> Vertices:
    """Exact, of codes (n, r), 2 <= r <= 8, each row not 0. About n^(r / 2) at worst."""
    from scipy.spatial import ConvexHull, QhullError

    r = h.shape[1]
    rows = np.unique(np.round(h / h.sum(axis=1, keepdims=True), 12), axis=0)
    basis = np.linalg.svd(np.ones((1, r)))[2][1:].T  # of all directions along which the sum stays
    points = -r * (rows / rows.sum(axis=1, keepdims=True)) @ basis
    if r == 2:
        normals, offsets = np.array([[1.0], [-1.0]]), np.array([points.max(), -points.min()])
    else:
        try:
            hull = ConvexHull(points)
        except QhullError:  # rows that span less than all directions
            lost = np.linalg.svd(points - points.mean(axis=0))[2][-1]
            return Vertices(UNBOUNDED, basis @ lost, False)
        normals, offsets = hull.equations[:, :-1], -hull.equations[:, -1]
    flat = offsets <= 1e-9
    if flat.any():
        return Vertices(UNBOUNDED, basis @ normals[np.flatnonzero(flat)[0]], False)
    x = (normals / offsets[:, None]) @ basis.T + 1 / r
    size = (x**2).sum(axis=1)
    best = int(size.argmax())
    touching = size >= 1 - TOLERANCE
    units_only = bool((x[touching].max(axis=1) >= 1 - 1e-4).all())
    return Vertices(float(size[best]), x[best], bool(size[best] <= 1 + TOLERANCE and units_only))


@dataclass(frozen=True)
class Trades:
    """Of k features: `fires` (k,) rows, `alone` (k,) rows in which nothing else fires; `inside` (k,) a feature that
    fires in every row of this one (-1 for none; of several the one with the largest trade), `most` (k,) how far the
    two can be traded, t."""

    fires: np.ndarray
    alone: np.ndarray
    inside: np.ndarray
    most: np.ndarray

    @property
    def q(self) -> np.ndarray:
        """(k,) |x|² of the trade; 1 where there is none."""
        return np.where(self.inside >= 0, (1 + self.most) ** 2 + self.most**2, 1.0)


def trades(h: csr_array, counts: csr_array | np.ndarray) -> Trades:
    """Of codes (n, k) >= 0 without stored zeros; `counts` (k, k) rows in which two fire. O(entries of pairs)."""
    from scipy.sparse import csc_array

    k = h.shape[1]
    fires = np.bincount(h.indices, minlength=k)
    single = np.diff(h.indptr) == 1
    alone = np.bincount(h.indices[h.indptr[:-1][single]], minlength=k)
    inside, most = np.full(k, -1), np.zeros(k)
    columns = csc_array(h)
    grid = counts.tocoo() if hasattr(counts, "tocoo") else None
    row, column = np.nonzero(counts) if grid is None else (grid.row, grid.col)
    value = counts[row, column] if grid is None else grid.data
    held = (value == fires[column]) & (row != column)
    for i, j in zip(row[held].tolist(), column[held].tolist(), strict=True):
        t = largest_trade(columns, i, j)
        if inside[j] < 0 or t > most[j]:
            inside[j], most[j] = i, t
    return Trades(fires, alone, inside, most)


def largest_trade(columns: csc_array, i: int, j: int) -> float:
    """Largest t with (1 + t) h_i >= t h_j in every row, where j fires only in rows of i; infinite where h_i >= h_j."""
    at, values = (
        columns.indices[columns.indptr[j] : columns.indptr[j + 1]],
        columns.data[columns.indptr[j] : columns.indptr[j + 1]].astype(float),
    )
    own = columns.indices[columns.indptr[i] : columns.indptr[i + 1]]
    order = np.argsort(own)
    other = columns.data[columns.indptr[i] : columns.indptr[i + 1]][order].astype(float)
    other = other[np.searchsorted(own[order], at)]
    above = values > other
    return float((other[above] / (values[above] - other[above])).min()) if above.any() else UNBOUNDED
