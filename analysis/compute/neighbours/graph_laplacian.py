"""Neighbour graphs as matrices: weights, connected pieces, and the slow eigenvectors of the normalised Laplacian.

With a symmetric weight matrix W and degrees D, L = I - D^(-1/2) W D^(-1/2) has eigenvalues in [0, 2]; 0 comes once
per connected piece. The eigenvectors of the smallest ones vary slowly along the graph.
"""

from __future__ import annotations

import numpy as np

from analysis.arrays import first_sign
from analysis.errors import InputError
from analysis.spec import Progress, no_progress

DENSE = 500  # points up to which a dense solver is the faster one
MOST_PIECES = 200
WEIGHTS = ("equal", "heat")


def adjacency(indices: np.ndarray, distances: np.ndarray, weights: str = "equal"):
    """Symmetric sparse weights (n, n) of a neighbour list (n, k): an edge where either end names the other.

    "equal": 1. "heat": exp(-distance² / (2 s_i s_j)), s the distance of a point's last neighbour. O(n k).
    """
    from scipy.sparse import csr_array

    n, k = indices.shape
    values = np.ones((n, k))
    if weights == "heat":
        reach = np.maximum(distances[:, -1], np.finfo(float).tiny)
        exponent = (distances / reach[:, None]) * (distances / reach[indices])
        values = np.maximum(np.exp(-exponent / 2), 1e-12)
    rows = np.repeat(np.arange(n), k)
    directed = csr_array((values.ravel(), (rows, indices.ravel())), shape=(n, n))
    return directed.maximum(directed.T).tocsr()


def pieces(weights) -> tuple[int, np.ndarray]:
    """Number of connected pieces and the piece (n,) of each point. O(edges)."""
    from scipy.sparse.csgraph import connected_components

    count, of = connected_components(weights, directed=False)
    return int(count), of


def joined(weights, points: np.ndarray, progress: Progress = no_progress, at: float = 0.0):
    """The graph with its pieces linked by their shortest gaps, smallest piece first; weight 1 (equal) or the
    smallest weight there is. Returns (weights, number of links).

    `points` (n, d) whose Euclidean distances count. Time O(Σ piece n d). Raises InputError above 200 pieces.
    """
    from scipy.sparse import csr_array

    count, of = pieces(weights)
    if count > MOST_PIECES:
        raise InputError(
            f"the neighbour graph falls into {count:,} pieces",
            f"at most {MOST_PIECES}",
            "Use more neighbours",
        )
    norms, links = (points**2).sum(axis=1), []
    while len(links) < count - 1:
        progress(at, "joining the pieces")
        numbers, sizes = np.unique(of, return_counts=True)
        mine = np.flatnonzero(of == numbers[sizes.argmin()])
        others = np.flatnonzero(of != of[mine[0]])
        gaps = []
        for start in range(0, len(mine), 256):
            block = mine[start : start + 256]
            square = norms[block, None] - 2 * points[block] @ points[others].T + norms[others]
            best = int(square.argmin())
            gaps.append((square.flat[best], block[best // len(others)], others[best % len(others)]))
        _, i, j = min(gaps)
        links.append((i, j))
        of[mine] = of[j]
    if not links:
        return weights, 0
    i, j = np.array(links).T
    value = np.full(2 * len(links), weights.data.min())
    more = csr_array((value, (np.r_[i, j], np.r_[j, i])), shape=weights.shape)
    return weights.maximum(more).tocsr(), len(links)


def random_walk(weights):
    """D^(-1/2) W D^(-1/2), sparse (n, n): one minus the normalised Laplacian."""
    from scipy.sparse import diags_array

    scale = 1 / np.sqrt(np.asarray(weights.sum(axis=1)).ravel())
    return (diags_array(scale) @ weights @ diags_array(scale)).tocsr()


def slow_eigenvectors(weights, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The k smallest eigenvalues (k,) rising and unit eigenvectors (n, k) of the normalised Laplacian.

    Exact by a dense solver up to 500 points; above by Lanczos steps from a seeded start. Time O(edges steps).

    Raises InputError where the steps do not converge.
    """
    values, vectors = _largest(random_walk(weights), np.zeros((weights.shape[0], 0)), k, rng)
    return np.clip(1 - values, 0.0, 2.0), vectors


def merged_eigenvectors(graphs, k: int, alpha: float, rng: np.random.Generator):
    """One k-dimensional subspace for several graphs of the same points (Dong et al. 2014): the smallest eigenvectors
    (n, k) of Σ L_l - alpha Σ U_l U_lᵀ, where U_l are each graph's own k smallest; and the list of the U_l."""
    own = [slow_eigenvectors(g, k, rng)[1] for g in graphs]
    walks = [random_walk(g) for g in graphs]
    total = walks[0]
    for walk in walks[1:]:
        total = total + walk
    _, vectors = _largest(total.tocsr(), np.sqrt(alpha) * np.hstack(own), k, rng)
    return vectors, own


def _largest(matrix, factor: np.ndarray, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The k largest eigenvalues, falling, and eigenvectors (n, k) of the sparse `matrix` + factor factorᵀ."""
    from scipy.linalg import eigh
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    n = matrix.shape[0]
    if n <= DENSE:
        whole = matrix.toarray() + factor @ factor.T
        values, vectors = eigh(whole, subset_by_index=[n - k, n - 1], overwrite_a=True, check_finite=False)
        values, vectors = values[::-1], vectors[:, ::-1]
    else:
        operator = LinearOperator((n, n), lambda v: matrix @ v + factor @ (factor.T @ v), dtype=np.float64)
        most = min(n, max(4 * k, 60))
        try:
            values, vectors = eigsh(
                operator, k=k, which="LA", v0=rng.standard_normal(n), ncv=most, maxiter=20 * n, tol=1e-9
            )
        except ArpackError as error:
            raise InputError(
                f"the eigenvectors of the graph were not found ({error})",
                "",
                "Use more neighbours or fewer points",
            ) from None
        order = np.argsort(-values, kind="stable")
        values, vectors = values[order], vectors[:, order]
    return values, first_sign(np.ascontiguousarray(vectors.T)).T


def slow_coordinates(weights, vectors: np.ndarray) -> np.ndarray:
    """Coordinates (n, k) of the points: eigenvectors of the random walk, D^(-1/2) u, with mean square 1 where each
    point counts by its degree."""
    degree = np.asarray(weights.sum(axis=1)).ravel()
    return vectors / np.sqrt(degree)[:, None] * np.sqrt(degree.sum())
