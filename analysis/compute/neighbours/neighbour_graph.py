"""The neighbour graph that every neighbour method shares: computed once per (points, metric, size) and kept.

Exact up to `EXACT_WORK` coordinate pairs (50,000 points of 256 units, 20,000 of 3,072; any number of points of three),
whatever the machine, so that a recipe gives the same graph everywhere; above, by neighbour descent, and then a seeded
sample of points is compared with their exact neighbours and the share found is stated with its interval. Graphs come
in a few sizes (16, 32, 64 … neighbours), so that most changes of a method's parameters find one ready; a larger one
serves all smaller questions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import Activations, load_matrix
from analysis.compute import kept
from analysis.compute.neighbours.neighbours import METRICS, TREE_UNITS, as_points, near_one, nearest
from analysis.compute.statistics.nulls import bootstrap_mean
from analysis.errors import NotEnoughData, ParameterError
from analysis.spec import Progress, no_progress

EXACT_WORK = 1.5e12  # n² d up to which every pair is compared
SMALLEST = 16  # neighbours of the smallest graph that is made
SAMPLE = 600  # points whose exact neighbours an approximate graph is compared with
VERSION = 1


@dataclass(frozen=True)
class NeighbourGraph:
    """`indices` (n, k) int32 and `distances` (n, k) float32, nearest first, each point itself left out.

    `recall` is the share of true neighbours that are there, with a 95 % interval over `n_checked` sampled points; 1
    when `exact`. `n_zero` counts zero vectors (cosine only), `n_equal` points that lie on another one.
    """

    indices: np.ndarray
    distances: np.ndarray
    metric: str
    exact: bool
    recall: float = 1.0
    recall_low: float = 1.0
    recall_high: float = 1.0
    n_checked: int = 0
    n_zero: int = 0
    n_equal: int = 0

    @property
    def k(self) -> int:
        return self.indices.shape[1]

    def first(self, k: int) -> NeighbourGraph:
        """The graph of the k nearest. Of an approximate graph the recall stated is that of the whole."""
        return replace(self, indices=self.indices[:, :k], distances=self.distances[:, :k])

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences to print beside any number made from this graph."""
        notes = []
        if not self.exact:
            notes.append(
                f"Neighbours are approximate: {self.recall:.1%} of the true ones were found "
                f"({self.recall_low:.1%} to {self.recall_high:.1%}, {self.n_checked:,} points checked exactly)."
            )
        if self.n_zero:
            notes.append(
                f"{self.n_zero} zero vector(s) have no direction; they are neighbours of each other only."
            )
        if self.n_equal:
            notes.append(
                f"{self.n_equal:,} point(s) coincide with another one; among equal points, neighbours are those that "
                "come first in the data."
            )
        return tuple(notes)


def neighbour_graph(
    x: Activations | np.ndarray,
    k: int,
    metric: str = "euclidean",
    *,
    seed: int = 0,
    exact: bool | None = None,
    threads: int | None = None,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> NeighbourGraph:
    """The k nearest other points of each point, from what is kept or computed now and kept.

    Parameters
    ----------
    x : Activations (their finite rows) or a finite array (n, d).
    k : int, 1 <= k < n.
    metric : "euclidean" or "cosine" (distance 1 - cos; a zero vector lies at 1 from all others).
    seed : of the approximate search; an exact graph does not depend on it.
    exact : compare every pair, or do not; by default what `EXACT_WORK` says.

    Raises
    ------
    NotEnoughData
        Fewer than k + 1 points.
    InputError, ParameterError
        NaN or infinity in an array; an unknown metric; k < 1.

    Notes
    -----
    Exact: O(n² d) in matrix products of the fastest kind there is. Approximate: about O(n^1.14 d). Memory O(n d + n k).
    """
    given = load_matrix(x).values if isinstance(x, Activations) else x
    values = np.asarray(given, dtype=np.float64)
    if metric not in METRICS or k < 1:
        raise ParameterError(f"metric {metric!r}, k = {k}", f"one of {', '.join(METRICS)}, and at least 1")
    n = len(values)
    if n <= k:
        raise NotEnoughData(f"{n} point(s) for {k} neighbours", f"at least {k + 1}", "Use fewer neighbours")
    if exact is None:
        exact = is_exact(*values.shape)
    made_of = {"points": kept.content_digest(values), "metric": metric, "version": VERSION}
    made_of |= {"exact": True} if exact else {"seed": int(seed)}
    sizes = ladder(k, n)
    for size in sizes:
        found = kept.find("neighbours", {**made_of, "k": size})
        if found is not None:
            progress(span[1], "neighbours are known already")
            return _opened(found, metric).first(k)
    make = _exact_graph if exact else _approximate_graph
    own = not np.may_share_memory(values, given)
    graph = make(values, sizes[0], metric, seed, own, threads, progress, span)
    kept.keep("neighbours", {**made_of, "k": sizes[0]}, _packed(graph))
    return graph.first(k)


def is_exact(n: int, d: int) -> bool:
    """Whether a graph of n points of d units is exact: every pair is compared, or a k-d tree answers."""
    return d <= TREE_UNITS or float(n) * n * d <= EXACT_WORK


def ladder(k: int, n: int) -> list[int]:
    """Sizes of graph that can answer a question about k neighbours, the smallest (made when none is there) first."""
    sizes, size = [], SMALLEST
    while len(sizes) < 6:
        if size >= k:
            sizes.append(min(size, n - 1))
        size *= 2
    return sorted(set(sizes))


def _exact_graph(values, k, metric, seed, own, threads, progress, span) -> NeighbourGraph:
    """`own` : the values are a copy that nobody else has."""
    found = nearest(values, k, metric, progress, span, overwrite=own)
    return _graph(found.indices, found.distances, metric, True, found.n_zero)


def _approximate_graph(values, k, metric, seed, own, threads, progress, span) -> NeighbourGraph:
    from analysis.compute.neighbours.neighbour_descent import descended_nearest

    points, n_zero = as_points(values, metric, overwrite=own)
    points, scale = near_one(points, out=points)
    middle = span[0] + 0.9 * (span[1] - span[0])
    indices, squares = descended_nearest(
        points, k, seed, threads=threads, progress=progress, span=(span[0], middle)
    )
    squares *= scale**2
    distances = squares / 2 if metric == "cosine" else np.sqrt(squares)
    graph = _graph(indices, distances, metric, False, n_zero)
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(points), size=min(SAMPLE, len(points)), replace=False))
    progress(middle, "checking neighbours against exact ones")
    reach = _true_reach(points, rows, k)
    shares = (squares[rows] / scale**2 <= reach[:, None] * (1 + 1e-9)).mean(axis=1)
    low, high = bootstrap_mean(shares, rng)
    return replace(
        graph,
        recall=float(shares.mean()),
        recall_low=float(low),
        recall_high=float(high),
        n_checked=len(rows),
    )


def _true_reach(points: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    """Squared distance (m,) of the k-th nearest other point of some rows, in float64."""
    norms = np.einsum("ij,ij->i", points, points)
    reach = np.empty(len(rows))
    for start in range(0, len(rows), 64):
        mine = rows[start : start + 64]
        squares = norms - 2 * points[mine] @ points.T + norms[mine, None]
        squares[np.arange(len(mine)), mine] = np.inf
        near = np.argpartition(squares, k - 1, axis=1)[:, :k]
        for i, row in enumerate(mine):
            reach[start + i] = ((points[near[i]] - points[row]) ** 2).sum(axis=1).max()
    return reach


def _graph(indices, distances, metric: str, exact: bool, n_zero: int) -> NeighbourGraph:
    largest = np.finfo(np.float32).max
    n_equal = int((distances[:, 0] == 0).sum())
    distances = np.minimum(distances, largest).astype(np.float32)
    return NeighbourGraph(indices.astype(np.int32), distances, metric, exact, n_zero=n_zero, n_equal=n_equal)


_NUMBERS = ("recall", "recall_low", "recall_high", "n_checked", "n_zero", "n_equal", "exact")


def _packed(graph: NeighbourGraph) -> kept.Arrays:
    numbers = np.array([getattr(graph, name) for name in _NUMBERS], dtype=np.float64)
    return {"indices": graph.indices, "distances": graph.distances, "numbers": numbers}


def _opened(arrays: kept.Arrays, metric: str) -> NeighbourGraph:
    numbers = dict(zip(_NUMBERS, arrays["numbers"].tolist(), strict=True))
    whole = {name: int(numbers.pop(name)) for name in ("n_checked", "n_zero", "n_equal")}
    exact = bool(numbers.pop("exact"))
    return NeighbourGraph(arrays["indices"], arrays["distances"], metric, exact, **numbers, **whole)
