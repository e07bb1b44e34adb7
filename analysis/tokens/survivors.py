"""Which tokens are left, as sets: how much two sets share, and how much they would if one was drawn at random.

    J(A, B) = |A ∩ B| / |A ∪ B|

Of N tokens, a of them in A and b in B, drawn at random, |A ∩ B| = i is hypergeometric, so that the mean of J is

    Σ_i  C(a, i) C(N - a, b - i) / C(N, b) · i / (a + b - i),

near k² / N / (2 k - k² / N) for a = b = k. Two empty sets are alike.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy.special import gammaln

from analysis.tokens.state import TokenState
from analysis.tokens.survival import left_alone

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


@functools.lru_cache(maxsize=100_000)
def chance_jaccard(tokens: int, a: int, b: int) -> float:
    """Mean Jaccard of two sets of a and b out of so many tokens, one of them at random."""
    if a + b == 0:
        return 1.0
    i = np.arange(max(0, a + b - tokens), min(a, b) + 1)
    log = _choose(a, i) + _choose(tokens - a, b - i) - _choose(tokens, b)
    return float((np.exp(log) * i / (a + b - i)).sum())


def chance_jaccards(free: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(B,) the same for sets a, b (B, T) bool of the free tokens (B, T) bool."""
    return np.array([chance_jaccard(int(n), int(p), int(q))
                     for n, p, q in zip(free.sum(1), a.sum(1), b.sum(1), strict=True)])  # fmt: skip


def _choose(n, k):
    return gammaln(n + 1.0) - gammaln(np.asarray(k) + 1.0) - gammaln(n - np.asarray(k) + 1.0)
