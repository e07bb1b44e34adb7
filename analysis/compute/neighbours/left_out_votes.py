"""Whether the nearest other samples of each sample are mostly of its class."""

from __future__ import annotations

import numpy as np


def left_out_votes(x: np.ndarray, codes: np.ndarray, k: int) -> np.ndarray:
    """Boolean (n,): whether the majority of the k nearest other rows of `x` (n, d), Euclidean, has the row's own class.

    `codes` (n,) number the classes from 0; the class of the nearer rows wins a tie. Time O(n² d), memory O(n²).
    """
    x = x - x.mean(axis=0)
    squares = (x * x).sum(axis=1)
    apart = squares[:, None] - 2 * x @ x.T + squares
    np.fill_diagonal(apart, np.inf)
    k = min(k, len(x) - 1)
    near = np.argsort(apart, axis=1, kind="stable")[:, :k]
    votes = np.zeros((len(x), int(codes.max()) + 1))
    for place in range(k):
        votes[np.arange(len(x)), codes[near[:, place]]] += 1 + 1e-6 * 0.5**place
    return votes.argmax(axis=1) == codes
