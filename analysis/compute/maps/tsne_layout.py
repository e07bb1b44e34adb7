"""The t-SNE layout of a neighbour graph by openTSNE, on one thread so that a seed gives the same bits."""

from __future__ import annotations

import numpy as np

from analysis.compute.linear.linalg import LARGEST_SIDE, principal_components
from analysis.spec import Progress, no_progress

EARLY = 250  # iterations of early exaggeration
EVERY = 5  # iterations between two reports


def graph_size(perplexity: float, n: int) -> int:
    """Neighbours to ask for: 128, 256, 512 ... so that most changes of the perplexity find the graph ready."""
    k = 128
    while k < 3 * perplexity:
        k *= 2
    return min(k, n - 1)


def tsne_layout(
    x: np.ndarray,
    indices: np.ndarray,
    distances: np.ndarray,
    *,
    perplexity: float,
    exaggeration: float,
    iterations: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> tuple[np.ndarray, float]:
    """Positions (n, 2) float32 of the points `x` (n, d), and the Kullback-Leibler divergence reached.

    Parameters
    ----------
    indices, distances : (n, k >= 3 perplexity), nearest first, the point itself left out; the first
        3 perplexity columns are used.
    perplexity, exaggeration, iterations
        Effective number of neighbours; attraction after the early phase; iterations after it.

    Notes
    -----
    Time O(n perplexity iterations) plus an O(n) grid per iteration; memory O(n perplexity).
    """
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    progress(span[0], "weighing the neighbours")
    used = int(3 * perplexity)
    distances = np.ldexp(
        distances, -int(np.frexp(distances[:, :used].max())[1])
    )  # openTSNE squares in float32
    graph = PrecomputedNeighbors(
        np.ascontiguousarray(indices[:, :used], dtype=np.int64),
        np.ascontiguousarray(distances[:, :used], dtype=np.float64),
    )
    affinities = PerplexityBasedNN(perplexity=perplexity, knn_index=graph, n_jobs=1)
    seed = int(rng.integers(2**31 - 1))
    embedding = TSNEEmbedding(_start(x, rng), affinities, negative_gradient_method="auto", n_jobs=1,
                              random_state=seed)  # fmt: skip
    early = min(EARLY, iterations)
    done = 0
    for count, attraction, momentum in ((early, 12.0, 0.5), (iterations, exaggeration, 0.8)):

        def watch(iteration, error, positions, done=done):
            share = (done + iteration) / (early + iterations)
            progress(span[0] + (span[1] - span[0]) * share, f"laying out, iteration {done + iteration}")

        embedding = embedding.optimize(
            count, exaggeration=attraction, momentum=momentum, callbacks=watch, callbacks_every_iters=EVERY
        )
        done += count
    return np.asarray(embedding, dtype=np.float32), float(embedding.kl_divergence)


def _start(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The first two principal components, scaled so that the first has standard deviation 0.0001."""
    if min(x.shape) <= LARGEST_SIDE:
        mean, directions, _ = principal_components(x, 2)
        start = (x - mean) @ directions.T
        start = np.pad(start, ((0, 0), (0, 2 - start.shape[1])))
        start /= start[:, 0].std()
    else:
        start = rng.standard_normal((len(x), 2))
    return 1e-4 * start + rng.normal(scale=1e-6, size=start.shape)
