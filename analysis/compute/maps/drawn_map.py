"""The maps that other methods judge, repeat or hold against a null: each projection by one name, as its page draws it
by default."""

from __future__ import annotations

import numpy as np

from analysis.compute.linear.linalg import principal_components
from analysis.compute.machine import machine
from analysis.compute.maps.layout import umap_layout
from analysis.compute.maps.pair_layout import REACH, laid_out
from analysis.compute.maps.tsne_layout import graph_size, tsne_layout
from analysis.compute.neighbours.neighbour_graph import NeighbourGraph, is_exact, neighbour_graph
from analysis.compute.neighbours.neighbours import nearest
from analysis.errors import NotEnoughData
from analysis.spec import Progress, no_progress

DRAWINGS = ("pca", "random plane", "umap", "pacmap", "localmap", "tsne")
LINEAR = ("pca", "random plane")
NAMES = {
    "pca": "principal components",
    "umap": "UMAP",
    "pacmap": "PaCMAP",
    "localmap": "LocalMAP",
    "tsne": "t-SNE",
}
HELP = "The map: principal components, a random plane (a baseline), or a neighbour map as its page draws it."
NEIGHBOURS = 15
LAYOUT_SECONDS = {
    "umap": 14 * 400 * 6.5e-8,
    "pacmap": 10 * 450 * 1.7e-8,
    "localmap": 10 * 450 * 2.4e-8,
    "tsne": 5e-3,
}


def drawn_map(
    x: np.ndarray,
    how: str,
    rng: np.random.Generator,
    *,
    metric: str = "euclidean",
    graph: NeighbourGraph | None = None,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray:
    """Positions (n, 2) float64 of the points `x` (n, d), centred.

    graph : neighbours of `x`, if known (see `graph_for`). Neighbour maps start Numba.

    Raises NotEnoughData when a neighbour map is asked for 30 points or fewer.
    """
    if how in LINEAR:
        progress(span[0], "projecting")
        y = _plane(x, how, rng)
    else:
        middle = span[0] + 0.4 * (span[1] - span[0])
        if graph is None:
            graph = graph_for(x, how, metric, keep=False, progress=progress, span=(span[0], middle))
        y = _laid_out(x, how, rng, graph, progress, (middle, span[1])).astype(np.float64)
    return y - y.mean(axis=0)


def graph_for(
    x: np.ndarray,
    how: str,
    metric: str = "euclidean",
    *,
    at_least: int = NEIGHBOURS,
    keep: bool = True,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> NeighbourGraph:
    """The neighbours that the map and its quality need; kept for other methods unless the points are made up."""
    n = len(x)
    if how not in LINEAR and n <= 2 * NEIGHBOURS:
        raise NotEnoughData(f"{n} points for {NAMES[how]}", f"more than {2 * NEIGHBOURS}", "Choose pca")
    k = min(n - 1, max(at_least, graph_size(30, n) if how == "tsne" else NEIGHBOURS))
    if keep or not is_exact(*x.shape):
        return neighbour_graph(x, k, metric, progress=progress, span=span)
    found = nearest(x, k, metric, progress, span)
    most = np.finfo(np.float32).max
    distances = np.minimum(found.distances, most).astype(np.float32)
    return NeighbourGraph(found.indices.astype(np.int32), distances, metric, True, n_zero=found.n_zero)


def _plane(x: np.ndarray, how: str, rng: np.random.Generator) -> np.ndarray:
    if how == "pca":
        mean, directions, _ = principal_components(x, 2)
        y = (x - mean) @ directions.T
    else:
        y = (x - x.mean(axis=0)) @ np.linalg.qr(rng.standard_normal((x.shape[1], min(2, x.shape[1]))))[0]
    return np.pad(y, ((0, 0), (0, 2 - y.shape[1])))


def _laid_out(x, how: str, rng, graph, progress, span) -> np.ndarray:
    n = len(x)
    if how == "umap":
        epochs = 500 if n <= 10_000 else 200
        return umap_layout(x, graph, n_neighbors=NEIGHBOURS, min_dist=0.1, epochs=epochs, rng=rng, progress=progress,
                           span=span)  # fmt: skip
    if how == "tsne":
        return tsne_layout(x, graph.indices, graph.distances, perplexity=min(30.0, (n - 1) / 3), exaggeration=1.0,
                           iterations=500, rng=rng, progress=progress, span=span)[0]  # fmt: skip
    reach = REACH if how == "localmap" else None
    return laid_out(x, graph.first(min(NEIGHBOURS, graph.k)), components=2, n_neighbors=10, reach=reach, rng=rng,
                    progress=progress, span=span)  # fmt: skip


def drawing_seconds(n: int, d: int, how: str) -> float:
    """Announced seconds of one map with its neighbours."""
    m = machine()
    if how in LINEAR:
        return m.seconds(flops64=2.0 * n * d * min(n, d) + 5.0 * min(n, d) ** 3) + 0.01
    graph = m.seconds(flops32=2.0 * min(n, 50_000) * n * d, moved=n * min(n, 50_000) * 2.0 + n * d * 300.0)
    return graph / min(m.cores, 8) + n * LAYOUT_SECONDS[how] / min(m.cores, max(1, n // 4096), 8) + 0.05
