"""Does a map keep the order of distances? Spearman's correlation of pair distances, per point and over all pairs.

Per point: the distances to m random reference points, in the data against on the map. Overall: all pairs of at most
`PAIR_POINTS` random points; its interval resamples points (pairs that share a point are not independent), its null
gives the map's places to the points at random (Mantel 1967).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.neighbours.neighbours import as_points, near_one
from analysis.compute.neighbours.squared_distances import SquaredDistances
from analysis.compute.statistics.nulls import add_one_p
from analysis.errors import NotEnoughData, ShapeError
from analysis.results import Estimate

REFERENCES, PAIR_POINTS = 128, 300
BOOTSTRAPS, PERMUTATIONS = 300, 99
BLOCK_BYTES = 16 << 20


@dataclass(frozen=True)
class DistanceRanks:
    """`correlation` (a,) of each asked point, NaN where a point is equally far from all references in either space;
    `overall` an Estimate over pairs; `references` how many reference points each correlation is over."""

    correlation: np.ndarray
    overall: Estimate
    references: int


def distance_ranks(
    high: np.ndarray,
    low: np.ndarray,
    rng: np.random.Generator,
    *,
    rows: np.ndarray | None = None,
    metric: str = "euclidean",
    references: int = REFERENCES,
) -> DistanceRanks:
    """Rank correlation of distances between the data `high` (n, d) and the map `low` (n, 2 or 3).

    rows : the points asked for (all by default). Time O(a references (d + log references)), memory O(n d).

    Raises ShapeError (different numbers of points) and NotEnoughData (fewer than four points).
    """
    n = len(high)
    if len(low) != n:
        raise ShapeError(f"the map has {len(low)} points", f"{n}, as many as the data")
    if n < 4:
        raise NotEnoughData(f"{n} points", "at least 4 to compare distances")
    spaces = [near_one(p)[0] for p in (as_points(high, metric)[0], as_points(low)[0])]
    rows = np.arange(n) if rows is None else np.asarray(rows)
    chosen = np.sort(rng.choice(n, size=min(references, n), replace=False))
    out = np.empty(len(rows))
    step = max(1, BLOCK_BYTES // (8 * len(chosen)))
    for start in range(0, len(rows), step):
        mine = rows[start : start + step]
        away = [_to_references(space, mine, chosen) for space in spaces]
        out[start : start + step] = _row_correlation(*away, mine, chosen)
    overall = _overall(spaces, rng, np.asarray(high).shape[1])
    return DistanceRanks(out, overall, len(chosen))


def _to_references(points: np.ndarray, rows: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Squared distances (m, references), rounded to 12 digits of the scale so that equal ones tie."""
    a, b = points[rows], points[chosen]
    squares = (a**2).sum(axis=1)[:, None] - 2 * a @ b.T + (b**2).sum(axis=1)
    return np.maximum(np.round(squares, 12), 0.0)


def midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 along each row of `values` (m, n), the mean rank for ties. O(m n log n)."""
    order = np.argsort(values, axis=1, kind="stable")
    line = np.take_along_axis(values, order, axis=1)
    place = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    fresh = np.ones(values.shape, bool)
    fresh[:, 1:] = line[:, 1:] != line[:, :-1]
    first = np.maximum.accumulate(np.where(fresh, place, 0), axis=1)
    ends = np.ones(values.shape, bool)
    ends[:, :-1] = fresh[:, 1:]
    last = np.minimum.accumulate(np.where(ends, place, values.shape[1])[:, ::-1], axis=1)[:, ::-1]
    out = np.empty(values.shape)
    np.put_along_axis(out, order, (first + last) / 2 + 1, axis=1)
    return out


def _row_correlation(high, low, rows, chosen) -> np.ndarray:
    """Spearman's correlation of each row; the row itself, where it is a reference, is left out."""
    itself = rows[:, None] == chosen
    found = []
    for squares in (high, low):
        squares = np.where(itself, -1.0, squares)  # ranks first, and its rank is then taken off
        ranks = midranks(squares) - itself.any(axis=1)[:, None]
        keep = np.where(itself, 0.0, 1.0)
        ranks -= (ranks * keep).sum(axis=1, keepdims=True) / keep.sum(axis=1, keepdims=True)
        found.append(ranks * keep)
    top = (found[0] * found[1]).sum(axis=1)
    bottom = np.sqrt((found[0] ** 2).sum(axis=1) * (found[1] ** 2).sum(axis=1))
    with np.errstate(invalid="ignore"):
        return np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1.0), np.nan)


def _overall(spaces, rng: np.random.Generator, d: int) -> Estimate:
    n = len(spaces[0])
    some = np.sort(rng.choice(n, size=min(PAIR_POINTS, n), replace=False))
    ranks = [_pair_ranks(space[some]) for space in spaces]
    value = _weighted(ranks, np.ones((1, len(some))))[0]
    weights = rng.multinomial(len(some), np.full(len(some), 1 / len(some)), size=BOOTSTRAPS).astype(float)
    draws = _weighted(ranks, weights)
    low, high = np.nanpercentile(draws, [2.5, 97.5]) if np.isfinite(draws).any() else (value, value)
    null = np.zeros(PERMUTATIONS)
    whole = np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum())
    for i in range(PERMUTATIONS if whole > 0 else 0):
        order = rng.permutation(len(some))
        null[i] = (ranks[0] * ranks[1][np.ix_(order, order)]).sum() / whole
    band = np.percentile(null, [2.5, 97.5])
    return Estimate(
        "distance-rank correlation", float(value), float(min(low, value)), float(max(high, value)),
        interval="bootstrap over points, ranks of their pairs held fixed", null=0.0, null_low=float(band[0]),
        null_high=float(band[1]), null_method=f"places exchanged between points, {PERMUTATIONS} times",
        p_value=float(add_one_p(value, null)), n=len(some), d=d,
        estimator=f"Spearman over all pairs of {len(some)} points" + (" drawn at random" if len(some) < n else ""),
    )  # fmt: skip


def _pair_ranks(points: np.ndarray) -> np.ndarray:
    """Ranks of all pair distances as a symmetric matrix (m, m), centred, with 0 on the diagonal."""
    m = len(points)
    squares = SquaredDistances(points).squares(np.arange(m))
    upper = np.triu_indices(m, 1)
    ranks = midranks(np.round(squares[upper], 12)[None])[0]
    out = np.zeros((m, m))
    out[upper] = ranks - ranks.mean()
    return out + out.T


def _weighted(ranks: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Pearson's correlation of pair ranks, each pair weighted by both its points: (draws,) from weights (draws, m);
    0 where one side does not vary."""
    a, b = ranks
    off = weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1)

    def mean(matrix):
        return np.einsum("ij,ij->i", weights @ matrix, weights) / off

    ma, mb = mean(a), mean(b)
    top = mean(a * b) - ma * mb
    bottom = (mean(a * a) - ma**2) * (mean(b * b) - mb**2)
    return np.where(bottom > 1e-12, top / np.sqrt(np.where(bottom > 1e-12, bottom, 1.0)), 0.0)
