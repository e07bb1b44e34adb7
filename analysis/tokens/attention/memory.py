"""A head as a memory: its keys are stored patterns x_i, and a state becomes the mean that attention gives of them,

    ξ <- X' softmax(β X ξ)        until it stays

(H. Ramsauer et al. 2021). The energy E = -lse(β, X ξ) + ξ'ξ / 2 + log(N) / β + M² / 2, M the longest pattern, never
rises and is not below 0. β -> 0 gives the mean of all patterns, a large β the pattern that is nearest by product.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

STEPS, STAYS, ONE = 400, 1e-7, 1e-3  # most updates; a move, and a distance between fixed points, in M


def energy(patterns: np.ndarray, states: np.ndarray, beta: float) -> np.ndarray:
    """(m,) of states (m, e) among patterns (N, e)."""
    longest = np.square(patterns).sum(axis=1).max()
    lse = logsumexp(beta * states @ patterns.T, axis=1) / beta
    return -lse + 0.5 * np.square(states).sum(axis=1) + np.log(len(patterns)) / beta + 0.5 * longest


def update(patterns: np.ndarray, states: np.ndarray, beta: float) -> np.ndarray:
    """(m, e) states after one step."""
    scores = beta * states @ patterns.T
    weight = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (weight / weight.sum(axis=1, keepdims=True)) @ patterns


def retrieved(patterns: np.ndarray, states: np.ndarray, beta: float) -> tuple[np.ndarray, bool]:
    """(fixed points (m, e), whether all of them stay) from states (m, e). O(m N e) a step."""
    size = max(float(np.sqrt(np.square(patterns).sum(axis=1).max())), 1e-300)
    for _ in range(STEPS):
        new = update(patterns, states, beta)
        moved = float(np.abs(new - states).max())
        states = new
        if moved <= STAYS * size:
            return states, True
    return states, False


def distinct(points: np.ndarray, size: float) -> np.ndarray:
    """(m,) number of the fixed point of each, in the order in which they are first met."""
    of, found = np.full(len(points), -1), 0
    while (of < 0).any():
        first = points[int((of < 0).argmax())]
        near = np.linalg.norm(points - first, axis=1) <= ONE * max(size, 1e-300)
        of[near & (of < 0)] = found
        found += 1
    return of


def separation(patterns: np.ndarray) -> np.ndarray:
    """(N,) x_i · x_i less the largest x_i · x_j of another; retrieval errs like exp(-β times it)."""
    products = patterns @ patterns.T
    own = np.diag(products).copy()
    np.fill_diagonal(products, -np.inf)
    return own - products.max(axis=1)


def like_both(
    queries: np.ndarray, keys: np.ndarray, rng: np.random.Generator, mean_first: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Queries and keys (m, e) drawn together with exactly the mean and covariance that they have: their left singular
    vectors are exchanged for random ones. Of Gaussian tokens the draw is distributed as they are, however few; what a
    token asks for and what it offers stay as alike as they are, and rows that are both stay both. `mean_first`: the
    first token is the mean of the others, in the draw too. O(m e²)."""
    x = np.hstack([queries, keys])[1:] if mean_first else np.hstack([queries, keys])
    mean = x.mean(axis=0)
    _, size, right = np.linalg.svd(x - mean, full_matrices=False)
    r = min(int((size > 1e-10 * size[0]).sum()), len(x) - 1)
    drawn = rng.standard_normal((len(x), r))
    basis, triangle = np.linalg.qr(drawn - drawn.mean(axis=0))
    made = mean + basis * np.sign(np.diagonal(triangle)) * size[:r] @ right[:r]
    if mean_first:
        made = np.vstack([mean, made])
    return made[:, : queries.shape[1]], made[:, queries.shape[1] :]
