"""Ranking the first M candidates again with global vectors alone: query and candidates moved towards what lies near.

    q' = q + β Σ_{j in N(q)} w_j x_j,      x_i' = x_i + β Σ_{j in N(i)} w_ij x_j,      w = cos^p, 0 where cos < 0

of unit vectors, N the K nearest of the M candidates (of a candidate the others among them). All sums are divided by
1 + β Σ w before they are made unit again, which changes no cosine. Candidates are ranked by q'·x'; those behind the
first M stay behind. β = 0 changes nothing, and a vector whose neighbours are its copies stays where it is.
"""

from __future__ import annotations

import numpy as np

QUERY, BOTH = "query refined", "hits refined too"
WAYS = (QUERY, BOTH)


def unit(x: np.ndarray) -> np.ndarray:
    """Rows (..., d) of length 1; rows of zeros stay."""
    size = np.linalg.norm(x, axis=-1, keepdims=True)
    return x / np.where(size > 0, size, 1.0)


def moved(
    x: np.ndarray, others: np.ndarray, cosine: np.ndarray, k: int, beta: float, power: float
) -> np.ndarray:
    """Vectors x (m, d) towards the k of `others` (g, d) with the largest `cosine` (m, g), unit again."""
    k = min(k, cosine.shape[1])
    at = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
    near = np.take_along_axis(cosine, at, axis=1)
    weight = np.where(near > 0, np.maximum(near, 1e-300) ** power, 0.0)
    return unit(x + beta * np.einsum("mk,mkd->md", weight, others[at]))


def again(
    q: np.ndarray, x: np.ndarray, way: str, k: int, beta: float, power: float, chosen: np.random.Generator | None = None
) -> np.ndarray:  # fmt: skip
    """(M,) scores of candidates x (M, d) for the query q (d,), all unit; with a generator the neighbours are as many
    candidates at random, weighed as the real ones are."""
    first = x @ q
    between = x @ x.T
    np.fill_diagonal(between, -np.inf)
    if chosen is not None:
        order = chosen.permuted(np.broadcast_to(np.arange(len(x)), (len(x) + 1, len(x))), axis=1)
        asked = _at_random(q[None], x, first[None], order[:1], k, beta, power)[0]
        return (_at_random(x, x, between, order[1:], k, beta, power) if way == BOTH else x) @ asked
    asked = moved(q[None], x, first[None], k, beta, power)[0]
    return (moved(x, x, between, k, beta, power) if way == BOTH and len(x) > 1 else x) @ asked


def _at_random(x, others, cosine, order, k: int, beta: float, power: float) -> np.ndarray:
    k = min(k, cosine.shape[1])
    near = -np.sort(-cosine, axis=1)[:, :k]
    weight = np.where(near > 0, np.maximum(near, 1e-300) ** power, 0.0)
    return unit(x + beta * np.einsum("mk,mkd->md", weight, others[order[:, :k]]))
