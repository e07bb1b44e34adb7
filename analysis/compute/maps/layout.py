"""The UMAP layout of a neighbour graph: links of fuzzy strength, then stochastic descent, epoch by epoch.

The links are those of the paper: p_ij = exp(-(d_ij - ρ_i) / σ_i), joined as p + pᵀ - p pᵀ. A link acts in the share
p / max p of the epochs; each action pulls its two points together and pushes each away from `NEGATIVES` points drawn
at random. Where umap-learn moves points one after the other, here all points of an epoch see the positions of the
epoch before: so the same seed gives the same bits, whatever the number of threads. Starts Numba.

Reference: L. McInnes, J. Healy & J. Melville (2018), "UMAP: uniform manifold approximation and projection".
"""

from __future__ import annotations

import functools

import numpy as np

from analysis.compute.linear.linalg import LARGEST_SIDE, principal_components
from analysis.compute.neighbours.graph_laplacian import joined, slow_coordinates, slow_eigenvectors
from analysis.compute.neighbours.neighbours import as_points, near_one
from analysis.compute.row_threads import row_threads
from analysis.spec import Progress, no_progress

NEGATIVES = 5
STARTS = ("components", "graph")


def umap_layout(
    x: np.ndarray,
    graph,
    *,
    n_neighbors: int,
    min_dist: float,
    epochs: int,
    rng: np.random.Generator,
    components: int = 2,
    begin: str = "components",
    threads: int | None = None,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray:
    """Positions (n, components) float32 of the points `x` (n, d).

    Parameters
    ----------
    graph : NeighbourGraph of at least n_neighbors - 1 neighbours.
    n_neighbors : counts the point itself, as in umap-learn.
    min_dist : how close two linked points want to be, in the units of the map.
    begin : "components" of the points, or the slow directions of the "graph".

    Notes
    -----
    Time O(n n_neighbors epochs), memory O(n n_neighbors).
    """
    from scipy.sparse import csr_array

    from analysis.compute.maps.umap_kernels import epoch

    n, k = len(x), n_neighbors - 1
    seed = np.uint64(rng.integers(2**63))
    y = np.zeros((n, 3), np.float32)
    out = np.zeros_like(y)
    with row_threads(n, threads) as run:
        progress(span[0], "building the fuzzy graph")
        starts, ends, strength = fuzzy_links(graph.indices[:, :k], graph.distances[:, :k], run)
        if begin == "graph":
            points = near_one(as_points(x, graph.metric)[0])[0]
            links = csr_array((strength.astype(np.float64), ends, starts), shape=(n, n))
            y[:, :components] = graph_positions(links, points, components, rng, 10.0, progress, span[0])
        else:
            y[:, :components] = first_positions(x, components, rng, 10.0)
        pull, push = force_tables(*curve(min_dist))
        for t in range(epochs):
            if t % 5 == 0:
                done = span[0] + (span[1] - span[0]) * t / epochs
                progress(done, f"laying out, epoch {t} of {epochs}")
            rate = np.float32(1 - t / epochs)
            run(epoch, y, out, starts, ends, strength, t, rate, NEGATIVES, pull, push, seed)
            y, out = out, y
    return np.ascontiguousarray(y[:, :components])


def fuzzy_links(indices: np.ndarray, distances: np.ndarray, run) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Links of each point in both directions: (starts, ends, strength in (0, 1], the strongest being 1)."""
    from scipy.sparse import csr_matrix

    from analysis.compute.maps.umap_kernels import memberships

    n, k = indices.shape
    away = np.ascontiguousarray(distances, dtype=np.float64)
    p = np.empty((n, k))
    run(memberships, away, float(away.mean()), p)
    one = csr_matrix((p.ravel(), indices.ravel().astype(np.int64), np.arange(0, n * k + 1, k)), shape=(n, n))
    other = one.T.tocsr()
    both = (one + other - one.multiply(other)).tocsr()
    both.sort_indices()
    strength = both.data / both.data.max()
    return both.indptr.astype(np.int64), both.indices.astype(np.int32), strength.astype(np.float32)


@functools.lru_cache(maxsize=64)
def curve(min_dist: float, spread: float = 1.0) -> tuple[float, float]:
    """a, b of 1 / (1 + a d^2b), fitted to 1 up to `min_dist` and exp(-(d - min_dist) / spread) beyond."""
    from scipy.optimize import curve_fit

    d = np.linspace(0, 3 * spread, 300)
    wanted = np.where(d < min_dist, 1.0, np.exp(-(d - min_dist) / spread))
    (a, b), _ = curve_fit(lambda d, a, b: 1 / (1 + a * d ** (2 * b)), d, wanted)
    return float(a), float(b)


def force_tables(a: float, b: float) -> tuple[np.ndarray, np.ndarray]:
    """Attraction and repulsion per unit of difference, float32, by squared distance (even in its logarithm)."""
    from analysis.compute.maps.umap_kernels import LOWEST, OCTAVES, PER_OCTAVE

    k = np.arange(OCTAVES * PER_OCTAVE + 1)
    square = 2.0 ** (LOWEST + k // PER_OCTAVE) * (1 + (k % PER_OCTAVE) / PER_OCTAVE)
    pull = 2 * a * b * square ** (b - 1) / (1 + a * square**b)
    push = 2 * b / ((0.001 + square) * (1 + a * square**b))
    return pull.astype(np.float32), push.astype(np.float32)


def first_positions(x: np.ndarray, components: int, rng: np.random.Generator, size: float) -> np.ndarray:
    """The first principal components (n, components), at most ±size, with a ten-thousandth of a unit of noise so
    that no two points coincide. Random where both sides of `x` (n, d) exceed 8,192. Time O(n d min(n, d))."""
    n, d = x.shape
    if min(n, d) <= LARGEST_SIDE:
        mean, directions, _ = principal_components(x, components)
        start = (x - mean) @ directions.T
        start = np.pad(start, ((0, 0), (0, components - start.shape[1])))
        start *= size / np.abs(start).max()
    else:
        start = rng.uniform(-size, size, size=(n, components))
    return (start + rng.normal(scale=1e-5 * size, size=start.shape)).astype(np.float32)


def graph_positions(links, points, components: int, rng, size: float, progress=no_progress, at: float = 0.0):
    """The slowest coordinates (n, components) of a sparse graph, scaled as above: a sheet that is rolled up in the data
    begins unrolled. Pieces are linked by the shortest gaps between the points (n, d).

    Raises InputError above 200 pieces. Time O(links steps), and O(piece n d) for every piece.
    """
    whole, _ = joined(links, points, progress, at)
    progress(at, "slow directions of the graph")
    start = slow_coordinates(whole, slow_eigenvectors(whole, components + 1, rng)[1][:, 1:])
    start *= size / np.abs(start).max()
    return (start + rng.normal(scale=1e-5 * size, size=start.shape)).astype(np.float32)
