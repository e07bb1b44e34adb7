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

from dataclasses import dataclass, field

import numpy as np

from analysis.compute.neighbours.neighbours import as_points, near_one
from analysis.compute.neighbours.squared_distances import SquaredDistances
from analysis.compute.statistics.nulls import bootstrap_mean
from analysis.errors import NotEnoughData, ShapeError
from analysis.results import Estimate
from analysis.spec import Progress, no_progress

EXACT_POINTS = 5000
MOST_LEVELS = 8  # tied distances of one point up to which looking at each is quicker than sorting the row


@dataclass(frozen=True)
class PlacementQuality:
    """`k` (m,), `anchors` (a,) the points that were measured against all n points, and per anchor and k `trust`,
    `continuity`, `recall` (a, m); `nearest` (a, largest k) their neighbours in the data. Where ranks were counted on
    random `references`, `errors` hold one standard error of each value, "trust" and "continuity" (a, m), and of the
    means, "trust mean", "continuity mean" (m,)."""

    k: np.ndarray
    anchors: np.ndarray
    trust: np.ndarray
    continuity: np.ndarray
    recall: np.ndarray
    n: int
    nearest: np.ndarray
    references: int = 0
    errors: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def is_sampled(self) -> bool:
        return len(self.anchors) < self.n

    @property
    def note(self) -> str:
        """A sentence on what was not measured exactly; empty when everything was."""
        if self.references:
            return (
                f"All {self.n:,} points measured: recall exactly, ranks beyond the neighbour graph counted on "
                f"{self.references} random points (standard error of one point's trust: "
                f"{float(np.median(self.errors['trust'])):.3f})."
            )
        if self.is_sampled:
            return f"Distortion measured for a random {len(self.anchors):,} of {self.n:,} points, each against all."
        return ""


def placement_quality(
    high: np.ndarray,
    low: np.ndarray,
    k: int | tuple[int, ...] = 15,
    *,
    metric: str = "euclidean",
    maximum_anchors: int = EXACT_POINTS,
    graph=None,
    rng: np.random.Generator | None = None,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> PlacementQuality:
    """Per-point quality of the map `low` (n, 2 or 3) of the points `high` (n, d).

    Exact over all points up to `maximum_anchors`. Above, with a `graph`, all points are measured and only ranks beyond
    it are estimated (`graph_quality`; starts Numba); without, a seeded random subset of points is measured, each
    against all others, so that every value is exact and only the average is sampled.

    Parameters
    ----------
    high, low : finite arrays with the same number of rows.
    k : int or several; each below n / 2.
    metric : "euclidean" or "cosine", of the data; the map is Euclidean.
    graph : has `indices` (n, K >= k) by the same metric, nearest first. Recall is as exact as the graph.

    Raises
    ------
    ShapeError, NotEnoughData
        Different numbers of rows; n <= 2 k.

    Notes
    -----
    Time O(a n (d + log n)) for a anchors, with a graph O(n (256 + k) d); memory O(n d) plus blocks of 32 MiB.
    """
    ks = np.unique(np.atleast_1d(np.asarray(k, dtype=np.int64)))
    n = len(high)
    if len(low) != n:
        raise ShapeError(f"the map has {len(low)} points", f"{n}, as many as the data")
    if ks[0] < 1 or n <= 2 * ks[-1]:
        raise NotEnoughData(
            f"{n} points for k = {ks[-1]}", f"more than {2 * ks[-1]} points and k >= 1", "Use another k"
        )
    anchors = np.arange(n)
    if n > maximum_anchors and graph is not None and graph.indices.shape[1] >= ks[-1]:
        return _by_graph(high, low, ks, metric, graph, rng or np.random.default_rng(0), progress, span)
    if n > maximum_anchors:
        anchors = np.sort((rng or np.random.default_rng(0)).choice(n, size=maximum_anchors, replace=False))
    spaces = [SquaredDistances(near_one(p)[0]) for p in (as_points(high, metric)[0], as_points(low)[0])]
    parts = []
    step = max(1, (32 << 20) // (8 * n))
    for start in range(0, len(anchors), step):
        progress(span[0] + (span[1] - span[0]) * start / len(anchors), "measuring the map")
        rows = anchors[start : start + step]
        parts.append(_block(*(space.squares(rows) for space in spaces), rows, ks))
    trust, continuity, recall, near = (np.concatenate(column) for column in zip(*parts, strict=True))
    return PlacementQuality(ks, anchors, trust, continuity, recall, n, near)


def _by_graph(high, low, ks, metric, graph, rng, progress, span) -> PlacementQuality:
    from analysis.compute.maps.graph_quality import IN_DATA, graph_quality

    points = [near_one(p)[0] for p in (as_points(high, metric)[0], as_points(low)[0])]
    found = graph_quality(*points, graph.indices, ks, rng, progress, span)
    errors = {key.replace(" error", ""): value for key, value in found.items() if key.endswith(" error")}
    values = (found[name] for name in ("trust", "continuity", "recall"))
    near = np.asarray(graph.indices)[:, : ks[-1]]
    return PlacementQuality(ks, np.arange(len(high)), *values, len(high), near, IN_DATA, errors)


def random_map(n: int, k) -> dict[str, np.ndarray]:
    """Expected quality of a map that places the points at random, with the standard deviation of one point.

    The neighbours on the map are then k of the n - 1 others drawn without replacement. Keys "trust", "recall",
    "trust sd", "recall sd"; continuity is as trust. The mean over m points varies more than sd / sqrt(m), because
    neighbours are often mutual and hubs are everybody's: 1.2 times for trust, 2.4 for continuity on 200 points of a
    Gaussian in 100 dimensions at k = 10, and more for large k. It therefore makes no band for the mean.
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
    """Trustworthiness, continuity and recall at one k: bootstrap over points, null of a random map.

    The null is exact for the mean and has no band, see `random_map`.
    """
    k, chance = int(quality.k[column]), random_map(quality.n, quality.k[column])
    found = []
    for name, word in (
        ("trust", "trustworthiness"),
        ("continuity", "continuity"),
        ("recall", "neighbour recall"),
    ):
        values = getattr(quality, name)[:, column]
        low, high = bootstrap_mean(values, rng)
        how, estimator = "bootstrap over points, this map held fixed", "mean over points"
        if name + " mean" in quality.errors:
            middle, more = values.mean(), (1.96 * quality.errors[name + " mean"][column]) ** 2
            low, high = (
                middle - np.hypot(middle - low, more**0.5),
                middle + np.hypot(high - middle, more**0.5),
            )
            how += "; widened by the error of ranks counted on random references"
            estimator = f"mean over points, ranks beyond the graph from {quality.references} references"
        elif quality.is_sampled:
            estimator = "mean over a random subset of points"
        of = "recall" if name == "recall" else "trust"
        found.append(
            Estimate(
                f"{word} at k = {k}", float(values.mean()), float(low), float(high),
                interval=how, null=float(chance[of]),
                null_method="mean over points placed at random (closed form)", n=len(values), d=d,
                estimator=estimator,
            )
        )  # fmt: skip
    return tuple(found)


def _block(high: np.ndarray, low: np.ndarray, rows: np.ndarray, ks: np.ndarray):
    """Trust, continuity and recall (m, len(ks)) of a block of anchors from distances (m, n), and the neighbours in the
    data (m, largest k)."""
    n, top = high.shape[1], int(ks[-1])
    in_data = _ranks(high, _first(low, top))
    near = _first(high, top)
    on_map = _ranks(low, near)
    trust, continuity, recall = (np.empty((len(rows), len(ks))) for _ in range(3))
    for i, k in enumerate(ks):
        scale = 2.0 / (k * (2 * n - 3 * k - 1))
        trust[:, i] = 1 - scale * np.maximum(in_data[:, :k] - k, 0).sum(axis=1)
        continuity[:, i] = 1 - scale * np.maximum(on_map[:, :k] - k, 0).sum(axis=1)
        recall[:, i] = (in_data[:, :k] <= k).mean(axis=1)
    return trust, continuity, recall, near


def _first(squares: np.ndarray, k: int) -> np.ndarray:
    """Indices (m, k) of the k nearest, ties to the lower index, the point itself (-1) left out."""
    reach = np.partition(squares, k, axis=1)[:, k]
    out = np.empty((len(squares), k), np.int64)
    for i, row in enumerate(squares):
        near = np.flatnonzero(row < reach[i])
        # of the points at exactly this distance, of which there may be thousands, only those that still fit
        near = np.append(near, np.flatnonzero(row == reach[i])[: k + 1 - len(near)])
        out[i] = near[np.argsort(row[near], kind="stable")[1:]]
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
        if not tied.any():
            continue
        levels = np.unique(values[tied])
        if len(levels) > MOST_LEVELS:  # one stable sort ranks all of them
            place = np.empty(len(row), np.int64)
            place[np.argsort(row, kind="stable")] = np.arange(len(row))
            out[i] = place[targets[i]]
            continue
        for level in levels:  # one look at the row for all targets at this distance
            mine = values == level
            out[i, mine] += np.searchsorted(np.flatnonzero(row == level), targets[i, mine])
    return out
