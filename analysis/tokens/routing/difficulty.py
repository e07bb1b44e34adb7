"""How difficult tokens are, beside what a gated module spends on them: exchanges, parts and correlations by sample."""

from __future__ import annotations

import numpy as np

from analysis.tokens.routing.learners import HOW_MANY
from analysis.tokens.routing.open_gates import open_gates

LEAST = 3  # tokens of a sample that can be ranked


def exchanged(x: np.ndarray, of: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) difficulty x (n,) of tokens in samples `of` (n,), 0 .. S - 1, when whole samples change places: a token
    gets that of the same place in another sample (of the same part of it, where lengths differ). What tokens of a
    sample have in common stays in common. O(n)."""
    order = np.argsort(of, kind="stable")
    length = np.bincount(of)
    first = np.concatenate([[0], np.cumsum(length)[:-1]])
    place = np.empty(len(x), int)
    place[order] = np.arange(len(x)) - first[of[order]]
    other = rng.permutation(len(length))[of]
    return x[order][first[other] + place * length[other] // length[of]]


def tenths(x: np.ndarray, parts: int = 10) -> list[np.ndarray]:
    """Places of x (n,) in at most so many parts from small to large, of one size but for ties, which stay together."""
    from scipy.stats import rankdata

    part = np.minimum((rankdata(x) - 0.5) * parts / len(x), parts - 1).astype(int)
    return [np.flatnonzero(part == p) for p in np.unique(part)]


def inside(k: np.ndarray, x: np.ndarray, of: np.ndarray) -> np.ndarray:
    """(m,) Spearman's correlation in each sample with three tokens or more that vary in both. O(n ln n)."""
    a, b = centred_ranks(k, of), centred_ranks(x, of)
    spread = np.bincount(of, a * a) * np.bincount(of, b * b)
    varies = (np.bincount(of) >= LEAST) & (spread > 0)
    return np.bincount(of, a * b)[varies] / np.sqrt(spread[varies])


def centred_ranks(x: np.ndarray, of: np.ndarray) -> np.ndarray:
    """(n,) ranks of x (n,) inside the samples `of` (n,), ties at their mean rank, less the mean of the sample."""
    order = np.lexsort((x, of))
    new = np.r_[True, (np.diff(x[order]) != 0) | (np.diff(of[order]) != 0)]
    tie, places = np.cumsum(new) - 1, np.arange(len(x))
    ranks = np.empty(len(x))
    ranks[order] = (np.bincount(tie, places) / np.bincount(tie))[tie]
    return ranks - (np.bincount(of, ranks) / np.maximum(np.bincount(of), 1))[of]


def undecided(values: np.ndarray, units: str) -> np.ndarray:
    """(n,) from 0 to 1, of what a tap holds (n, E): how near to one half its gates are; of scores of how many, the
    entropy of their softmax, 1 where all are alike."""
    if units != HOW_MANY:
        return 1 - 2 * np.abs(open_gates(values)[0] - 0.5).mean(axis=1)
    p = np.exp(values - values.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=1) / np.log(values.shape[1])
