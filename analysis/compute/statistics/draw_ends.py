"""The ends of a null that is known by draws: how far out one more draw would seldom lie."""

from __future__ import annotations

import numpy as np


def tail(draws: int) -> int:
    """The place of the null's ends among so many draws, from outside: one more draw lies beyond them with probability
    2 k / (draws + 1), 5 % where there are enough."""
    return max(1, int(0.025 * (draws + 1) + 1e-9))


def band(draws: np.ndarray) -> np.ndarray:
    """(2, parts): the ends of draws (m, parts) but for the outermost of them."""
    ranked, k = np.sort(draws, axis=0), tail(len(draws))
    return ranked[[k - 1, len(ranked) - k]]
