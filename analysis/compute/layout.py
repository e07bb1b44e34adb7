"""The UMAP layout of a neighbour graph. Starts Numba: only ever called in the worker process or a notebook.

The graph is ours (`neighbours.py`), the start is the first two principal components, and only umap-learn's two
central functions are used: the fuzzy graph and the stochastic descent. One seeded thread, so that the same seed
gives the same bits on the same machine and version.
"""

from __future__ import annotations

import warnings

import numpy as np

from analysis.compute.linalg import LARGEST_SIDE, principal_components
from analysis.compute.neighbours import Neighbours
from analysis.spec import Progress, no_progress


def umap_layout(
    x: np.ndarray,
    graph: Neighbours,
    *,
    n_neighbors: int,
    min_dist: float,
    epochs: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray:
    """Positions (n, 2) float32 of the points `x` (n, d) whose neighbours (at least n_neighbors - 1) are `graph`.

    `n_neighbors` counts the point itself, as in umap-learn. Time O(n n_neighbors epochs) after about 6 s of
    compilation in a fresh process; memory O(n n_neighbors).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap.umap_ import find_ab_params, fuzzy_simplicial_set, simplicial_set_embedding

    n, k = len(x), n_neighbors - 1
    indices = np.hstack([np.arange(n)[:, None], graph.indices[:, :k]]).astype(np.int32)
    distances = np.hstack([np.zeros((n, 1)), graph.distances[:, :k]]).astype(np.float32)
    progress(span[0], "building the fuzzy graph")
    seed = np.random.RandomState(int(rng.integers(2**31 - 1)))
    start = _start(x, rng)
    fuzzy, _, _ = fuzzy_simplicial_set(
        np.empty((n, 1), np.float32), n_neighbors, seed, "euclidean", knn_indices=indices, knn_dists=distances
    )
    a, b = find_ab_params(1.0, min_dist)
    watch = {
        "file": _Watch(progress, span, epochs),
        "bar_format": "{n}",
        "mininterval": 0.1,
        "disable": False,
    }
    positions, _ = simplicial_set_embedding(
        None, fuzzy, 2, 1.0, a, b, 1.0, 5, epochs, start, seed, "euclidean", {}, False, {}, False,
        parallel=False, tqdm_kwds=watch,
    )  # fmt: skip
    return np.asarray(positions, dtype=np.float32)


def _start(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The first two principal components, scaled to ±10, with a little noise so that no two points coincide."""
    n, d = x.shape
    if min(n, d) <= LARGEST_SIDE:
        mean, directions, _ = principal_components(x, 2)
        start = (x - mean) @ directions.T
        start = np.pad(start, ((0, 0), (0, 2 - start.shape[1])))
        start *= 10 / np.abs(start).max()
    else:
        start = rng.uniform(-10, 10, size=(n, 2))
    return (start + rng.normal(scale=1e-4, size=start.shape)).astype(np.float32)


class _Watch:
    """A file for umap-learn's progress bar: each redraw reports the epoch, and may raise `Cancelled`."""

    encoding = "utf-8"

    def __init__(self, progress: Progress, span: tuple[float, float], epochs: int) -> None:
        self.progress, self.span, self.epochs = progress, span, epochs

    def write(self, text: str) -> None:
        if (shown := text.strip()).isdigit():
            done = int(shown) / self.epochs
            self.progress(self.span[0] + (self.span[1] - self.span[0]) * done, f"laying out, epoch {shown}")

    def flush(self) -> None:
        """Nothing is held back."""
