"""What a map keeps of the neighbourhoods it was made from: trustworthiness, continuity and neighbour recall.

With r(i, j) the rank of j among the neighbours of i in the data, r'(i, j) the same on the map, and N_k, N'_k the
k nearest of each (Venna & Kaski 2001):

    trustworthiness  1 - 2 / (k (2n - 3k - 1)) Σ_{j in N'_k(i)} max(0, r(i, j) - k)     false neighbours shown
    continuity       1 - 2 / (k (2n - 3k - 1)) Σ_{j in N_k(i)}  max(0, r'(i, j) - k)    true neighbours torn away
    recall           |N_k(i) ∩ N'_k(i)| / k

per point i; the mean over the points is the quality of the map. Ties are broken by index in both spaces, so exact
duplicates that stay together cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.neighbours import as_points, distinct
from analysis.compute.nulls import bootstrap_mean
from analysis.errors import NotEnoughData, ShapeError
from analysis.results import Estimate
from analysis.spec import Progress, no_progress

EXACT_POINTS = 5000


@dataclass(frozen=True)
class PlacementQuality:
    """`k` (m,), `anchors` (a,) the points that were measured against all n points, and per anchor and k
    `trust`, `continuity`, `recall` (a, m)."""

    k: np.ndarray
    anchors: np.ndarray
    trust: np.ndarray
    continuity: np.ndarray
    recall: np.ndarray
    n: int

    @property
    def is_sampled(self) -> bool:
        return len(self.anchors) < self.n


def placement_quality(
    high: np.ndarray,
    low: np.ndarray,
    k: int | tuple[int, ...] = 15,
    *,
    metric: str = "euclidean",
    maximum_anchors: int = EXACT_POINTS,
    rng: np.random.Generator | None = None,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> PlacementQuality:
    """Per-point quality of the map `low` (n, 2 or 3) of the points `high` (n, d).

    Exact over all points up to `maximum_anchors`; above, over a seeded random subset of points, each still
    against all others, so that every value is exact and only the average is sampled.

    Parameters
    ----------
    high, low : finite arrays with the same number of rows.
    k : int or several; each below n / 2.
    metric : "euclidean" or "cosine", of the data; the map is Euclidean.

    Raises
    ------
    ShapeError, NotEnoughData
        Different numbers of rows; n <= 2 k.

    Notes
    -----
    Time O(a n (d + log n)) for a anchors; memory O(n d) plus blocks of 32 MiB.
    """
    ks = np.unique(np.atleast_1d(np.asarray(k, dtype=np.int64)))
    n = len(high)
    if len(low) != n:
        raise ShapeError(f"the map has {len(low)} points", f"{n}, as many as the data")
    if ks[0] < 1 or n <= 2 * ks[-1]:
        raise NotEnoughData(
            f"{n} points for k = {ks[-1]}", f"more than {2 * ks[-1]} points", "Use a smaller k"
        )
    anchors = np.arange(n)
    if n > maximum_anchors:
        anchors = np.sort((rng or np.random.default_rng(0)).choice(n, size=maximum_anchors, replace=False))
    spaces = [_Space(as_points(high, metric)[0]), _Space(as_points(low)[0])]
    parts = []
    step = max(1, (32 << 20) // (8 * n))
    for start in range(0, len(anchors), step):
        progress(span[0] + (span[1] - span[0]) * start / len(anchors), "measuring the map")
        rows = anchors[start : start + step]
        parts.append(_block(*(space.squares(rows) for space in spaces), rows, ks))
    trust, continuity, recall = (np.concatenate(column) for column in zip(*parts, strict=True))
    return PlacementQuality(ks, anchors, trust, continuity, recall, n)


def random_map(n: int, k) -> dict[str, np.ndarray]:
    """Expected quality of a map that places the points at random, with the standard deviation of one point.

    The neighbours on the map are then k of the n - 1 others drawn without replacement. Keys "trust", "recall",
    "trust sd", "recall sd"; continuity is as trust.
    """
    k = np.asarray(k, dtype=np.float64)
    m = n - 1.0
    beyond = m - k
    mean = beyond * (beyond + 1) / (2 * m)
    square = beyond * (beyond + 1) * (2 * beyond + 1) / (6 * m)
    scale = 2 / (k * (2 * n - 3 * k - 1))
    finite = k * beyond / (m - 1)
    share = k / m
    return {
        "trust": 1 - scale * k * mean,
        "trust sd": scale * np.sqrt((square - mean**2) * finite),
        "recall": share,
        "recall sd": np.sqrt(share * (1 - share) * finite) / k,
    }


def quality_estimates(
    quality: PlacementQuality, rng: np.random.Generator, column: int = 0, d: int = 0
) -> tuple[Estimate, ...]:
    """Trustworthiness, continuity and recall at one k: bootstrap over points, null of a random map."""
    k, chance = int(quality.k[column]), random_map(quality.n, quality.k[column])
    found = []
    for name, word in (
        ("trust", "trustworthiness"),
        ("continuity", "continuity"),
        ("recall", "neighbour recall"),
    ):
        values = getattr(quality, name)[:, column]
        low, high = bootstrap_mean(values, rng)
        of = "recall" if name == "recall" else "trust"
        null, half = float(chance[of]), float(1.96 * chance[of + " sd"] / np.sqrt(len(values)))
        found.append(
            Estimate(
                f"{word} at k = {k}", float(values.mean()), float(low), float(high),
                interval="bootstrap over points, this map held fixed", null=null, null_low=null - half,
                null_high=null + half, null_method="points placed at random (closed form)", n=len(values), d=d,
                estimator="mean over points" if not quality.is_sampled else "mean over a random subset of points",
            )
        )  # fmt: skip
    return tuple(found)


class _Space:
    """Points with squared distances that are exactly equal for equal points."""

    def __init__(self, points: np.ndarray) -> None:
        self.group, first = distinct(points)
        self.whole = len(first) == len(points)
        self.unique = points if self.whole else points[first]
        if self.whole:
            self.group = np.arange(len(points))
        self.norms = np.einsum("ij,ij->i", self.unique, self.unique)

    def squares(self, rows: np.ndarray) -> np.ndarray:
        """Squared distances (m, n) of the given rows to all points, with -1 to the row itself."""
        mine = self.group[rows]
        out = self.unique[mine] @ self.unique.T
        out *= -2
        out += self.norms
        out += self.norms[mine][:, None]
        np.maximum(out, 0.0, out=out)
        out[np.arange(len(rows)), mine] = 0.0
        out = out if self.whole else out[:, self.group]
        out[np.arange(len(rows)), rows] = -1.0
        return out


def _block(high: np.ndarray, low: np.ndarray, rows: np.ndarray, ks: np.ndarray):
    """Trust, continuity and recall (m, len(ks)) of a block of anchors from distances (m, n)."""
    n, top = high.shape[1], int(ks[-1])
    in_data = _ranks(high, _first(low, top))
    on_map = _ranks(low, _first(high, top))
    trust, continuity, recall = (np.empty((len(rows), len(ks))) for _ in range(3))
    for i, k in enumerate(ks):
        scale = 2.0 / (k * (2 * n - 3 * k - 1))
        trust[:, i] = 1 - scale * np.maximum(in_data[:, :k] - k, 0).sum(axis=1)
        continuity[:, i] = 1 - scale * np.maximum(on_map[:, :k] - k, 0).sum(axis=1)
        recall[:, i] = (in_data[:, :k] <= k).mean(axis=1)
    return trust, continuity, recall


def _first(squares: np.ndarray, k: int) -> np.ndarray:
    """Indices (m, k) of the k nearest, ties to the lower index, the point itself (-1) left out."""
    n = squares.shape[1]
    reach = np.partition(squares, k, axis=1)[:, k]
    out = np.empty((len(squares), k), np.int64)
    for i, row in enumerate(squares):
        near = np.flatnonzero(row <= reach[i]) if k < n - 1 else np.arange(n)
        out[i] = near[np.argsort(row[near], kind="stable")[1 : k + 1]]
    return out


def _ranks(squares: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Rank (m, k), 1 for the nearest other point, of each target; ties by index."""
    ordered = np.sort(squares, axis=1)
    out = np.empty(targets.shape, np.int64)
    for i, (row, line) in enumerate(zip(squares, ordered, strict=True)):
        values = row[targets[i]]
        left = np.searchsorted(line, values, "left")
        tied = np.searchsorted(line, values, "right") - left > 1
        out[i] = left
        if np.count_nonzero(tied) > 8:  # many ties: one stable sort ranks all of them
            place = np.empty(len(row), np.int64)
            place[np.argsort(row, kind="stable")] = np.arange(len(row))
            out[i] = place[targets[i]]
            continue
        for j in np.flatnonzero(tied):
            out[i, j] += np.count_nonzero(row[: targets[i, j]] == values[j])
    return out
