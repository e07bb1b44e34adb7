"""Which tokens are left, as sets: how much two sets share, and how much they would if one was drawn at random.

    J(A, B) = |A ∩ B| / |A ∪ B|

Of N tokens, a of them in A and b in B, drawn at random, |A ∩ B| = i is hypergeometric, so that the mean of J is

    Σ_i  C(a, i) C(N - a, b - i) / C(N, b) · i / (a + b - i),

near k² / N / (2 k - k² / N) for a = b = k. Two empty sets are alike.
"""

from __future__ import annotations

import functools

import numpy as np

from analysis.tokens.state import TokenState
from analysis.tokens.survival import left_alone, log_choose

STANDING, ALONE = "tokens with a place of their own", "tokens with nothing merged into them"
COUNTED = (STANDING, ALONE)
COUNTED_HELP = "What counts as a survivor; of rules that only drop both are the same."


def survivors_of(state: TokenState, free: np.ndarray, counted: str = STANDING) -> np.ndarray:
    """(B, T) bool: the free tokens that are left."""
    if counted == ALONE:
        return left_alone(state) & free
    return (state.owner == np.arange(free.shape[1])) & free


def jaccard(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(B,) of sets a, b (B, T) bool."""
    both, either = (a & b).sum(axis=1), (a | b).sum(axis=1)
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def chance_jaccard(tokens: int, a: int, b: int) -> float:
    """Mean Jaccard of two sets of a and b out of so many tokens, one of them at random."""
    return _moments(tokens, a, b)[0]


@functools.lru_cache(maxsize=100_000)
def _moments(tokens: int, a: int, b: int) -> tuple[float, float]:
    """Mean and variance of it."""
    if a + b == 0:
        return 1.0, 0.0
    i = np.arange(max(0, a + b - tokens), min(a, b) + 1)
    log = log_choose(a, i) + log_choose(tokens - a, b - i) - log_choose(tokens, b)
    chance, value = np.exp(log), i / (a + b - i)
    mean = float((chance * value).sum())
    return mean, float((chance * np.square(value - mean)).sum())


def chance_jaccards(free: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(B,) the same for sets a, b (B, T) bool of the free tokens (B, T) bool."""
    return np.array([chance_jaccard(int(n), int(p), int(q))
                     for n, p, q in zip(free.sum(1), a.sum(1), b.sum(1), strict=True)])  # fmt: skip


def chance_variances(free: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(B,) how the index of such sets varies."""
    return np.array([_moments(int(n), int(p), int(q))[1]
                     for n, p, q in zip(free.sum(1), a.sum(1), b.sum(1), strict=True)])  # fmt: skip
