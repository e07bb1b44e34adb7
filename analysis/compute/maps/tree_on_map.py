"""The minimum spanning tree of a tap's points in the original space, and what a map makes of it."""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations
from analysis.compute import kept
from analysis.compute.maps.distance_ranks import midranks
from analysis.compute.neighbours.map_neighbours import nearest_on_map
from analysis.compute.neighbours.neighbours import as_points, near_one
from analysis.compute.neighbours.spanning_tree import spanning_tree
from analysis.compute.rows.cloud import Cloud
from analysis.compute.rows.points import point_set
from analysis.compute.statistics.nulls import add_one_p, wilson
from analysis.errors import InputError, NotEnoughData
from analysis.results import Estimate
from analysis.spec import Progress, no_progress

VERSION = 1
EXCHANGES = 99
Tree = tuple[np.ndarray, np.ndarray]


def tree_of_points(
    x: np.ndarray,
    metric: str = "euclidean",
    min_samples: int = 1,
    *,
    keep: bool = True,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Tree:
    """Edges (n - 1, 2) int32 between the rows of `x` (n, d), shortest first, and their lengths (n - 1,) float64.

    min_samples : 1 for distances, more for mutual reachability (see `spanning_tree`). Lengths are in the units of `x`,
    for "cosine" 1 - cos. The tree is kept for whoever asks for the same points again, unless `keep` is False.

    Raises NotEnoughData (fewer than two points), InputError (NaN or infinity), ParameterError (another metric). Time
    O(n² d), memory O(n d), below 3,000 points O(n²).
    """
    x = np.asarray(x, dtype=np.float64)
    if len(x) < 2:
        raise NotEnoughData(f"{len(x)} point(s)", "at least 2 to join")
    made_of = {"metric": metric, "min_samples": min_samples, "version": VERSION}
    if keep:
        made_of["points"] = kept.content_digest(x)
        known = kept.find("spanning tree", made_of)
        if known is not None:
            progress(span[1], "the tree is known already")
            return known["edges"], known["lengths"]
    points, scale = near_one(as_points(x, metric)[0])
    edges, lengths = spanning_tree(points, min_samples, progress, span)
    lengths = (lengths * scale) ** 2 / 2 if metric == "cosine" else lengths * scale
    found = {"edges": edges.astype(np.int32), "lengths": lengths}
    if keep:
        kept.keep("spanning tree", made_of, found)
    return found["edges"], found["lengths"]


def tree_of_tap(
    activations: Activations,
    rows: np.ndarray,
    of: str = "rows",
    metric: str = "euclidean",
    min_samples: int = 1,
    progress: Progress = no_progress,
) -> Tree:
    """The tree over the points `rows` (m,) of a tap: row numbers, or unit numbers where `of` is "units", as in
    `Scatter.rows`. Edges index into `rows`, so that they lie over any map with the same `rows`.

    Raises as `tree_of_points`, InputError also for a unit that does not vary.
    """
    rows = np.asarray(rows)
    if of == "rows":
        return tree_of_points(activations.take(rows), metric, min_samples, progress=progress)
    points = point_set(activations, of, progress, (0.0, 0.3))
    place = np.searchsorted(points.index, rows)
    if len(rows) and (points.index[np.minimum(place, len(points.index) - 1)] != rows).any():
        raise InputError("a unit that does not vary has no place", "units that vary", "Leave it out")
    return tree_of_points(points.points.take(place), metric, min_samples, progress=progress, span=(0.3, 1.0))


def near_pairs(positions: np.ndarray, k: int) -> np.ndarray:
    """Rising codes i n + j, i < j, of the pairs of which one is among the k nearest of the other on the map
    `positions` (n, 2 or 3)."""
    n = len(positions)
    near = nearest_on_map(np.asarray(positions, np.float64), k)[0].astype(np.int64)
    return np.unique(codes(np.column_stack([np.repeat(np.arange(n), k), near.ravel()]), n))


def codes(edges: np.ndarray, n: int) -> np.ndarray:
    """Code (m,) of each edge (m, 2), whichever way round."""
    ends = np.asarray(edges, np.int64)
    return ends.min(axis=1) * n + ends.max(axis=1)


def tree_on_map(
    positions: np.ndarray, edges: np.ndarray, lengths: np.ndarray, k: int, rng: np.random.Generator, d: int
) -> tuple[Estimate, Estimate]:
    """The share of the edges (m, 2) that join near neighbours on the map `positions` (n, 2 or 3), and the rank
    correlation of their `lengths` (m,) with the drawn ones; both against the same tree on exchanged points.
    O(EXCHANGES n log n)."""
    n = len(positions)
    k = min(k, (n - 1) // 2)
    near, ranks = near_pairs(positions, k), _ranks(lengths)
    drawn = _drawn(positions, edges)
    value, stretch = float(np.isin(codes(edges, n), near).mean()), _correlation(ranks, _ranks(drawn))
    chance = np.empty((EXCHANGES, 2))
    for i in range(EXCHANGES):
        other = rng.permutation(n)[edges]
        chance[i] = (
            np.isin(codes(other, n), near).mean(),
            _correlation(ranks, _ranks(_drawn(positions, other))),
        )
    again = []
    for _ in range(EXCHANGES):
        some = rng.integers(len(edges), size=len(edges))
        again.append(_correlation(_ranks(lengths[some]), _ranks(drawn[some])))
    inner, (low, high) = np.percentile(again, [2.5, 97.5]), wilson(value * len(edges), len(edges))
    how, band = f"points exchanged on the map, {EXCHANGES} times", np.percentile(chance, [2.5, 97.5], axis=0)
    return (
        Estimate(f"edges among the {k} nearest on the map", value, min(low, value), max(high, value),
                 interval="Wilson over edges, tree and map held fixed", null=2 * len(near) / (n * (n - 1)),
                 null_low=float(band[0, 0]), null_high=float(band[1, 0]), null_method=how + "; mean in closed form",
                 p_value=float(add_one_p(value, chance[:, 0])), n=n, d=d, estimator="of either end"),
        Estimate("rank correlation of true and drawn length", stretch, min(float(inner[0]), stretch),
                 max(float(inner[1]), stretch), interval="bootstrap over edges", null=0.0, null_low=float(band[0, 1]),
                 null_high=float(band[1, 1]), null_method=how, p_value=float(add_one_p(stretch, chance[:, 1])), n=n,
                 d=d, estimator="Spearman"),
    )  # fmt: skip


def _drawn(positions: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.linalg.norm(positions[edges[:, 0]] - positions[edges[:, 1]], axis=1)


def _ranks(values: np.ndarray) -> np.ndarray:
    ranks = midranks(values[None])[0]
    return ranks - ranks.mean()


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Of two centred lines (m,); 0 where one does not vary."""
    whole = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / whole if whole > 0 else 0.0


def growth_dimension(
    cloud: Cloud, whole: float, metric: str, rng: np.random.Generator, draws: int = 4
) -> tuple[float, np.ndarray]:
    """Dimension D from how the tree's length grows with the number of points, L ~ n^((D - 1) / D): 1 / (1 - slope) of
    log L on log n over random subsets of n/8, n/4, n/2 and all points; and the same (draws,) for each draw of subsets.

    `whole` : length of the tree over all points. NaN where the length does not grow as of any dimension (slope >= 1).
    Beardwood, Halton & Hammersley (1959), Steele (1988). Time O(draws n² d / 3).
    """
    n = len(cloud.x)
    sizes = np.array([n // 8, n // 4, n // 2, n])
    found = np.empty((draws, 4))
    for i in range(draws):
        order = rng.permutation(n)
        for j, m in enumerate(sizes[:3]):
            found[i, j] = tree_of_points(cloud.x[order[:m]], metric, keep=False)[1].sum()
    found[:, 3] = whole
    if (found <= 0).any():
        return float("nan"), np.full(draws, np.nan)
    slopes = [np.polyfit(np.log(sizes), line, 1)[0] for line in (np.log(found).mean(axis=0), *np.log(found))]
    dimensions = np.array([1 / (1 - s) if s < 1 else np.nan for s in slopes])
    return float(dimensions[0]), dimensions[1:]
