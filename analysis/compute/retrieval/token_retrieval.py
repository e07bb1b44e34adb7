"""Retrieval with several embeddings of each sample: token by token, and fused.

With unit embeddings u_1 … u_T of a sample side by side, divided by √T, the cosine of two samples is the mean of their
token cosines: the fused ranking. Of each query all other samples are ranked, without those that share both its class
and its camera, where cameras are known. Ties are ranked as luck would have it on average for the first place, and by
position after that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TIED = 1e-12


@dataclass(frozen=True)
class Ranking:
    """`first` (n,) chance that the nearest sample is of the query's class; `order` (n, m) of the others by falling
    similarity, -1 where left out; `asks` (n,) bool: queries with somebody of their class to be found."""

    first: np.ndarray
    order: np.ndarray
    asks: np.ndarray


def unit_tokens(x: np.ndarray) -> np.ndarray:
    """Tokens (n, T, d) of length 1; zeros stay."""
    length = np.linalg.norm(x, axis=2, keepdims=True)
    return np.divide(x, length, out=np.zeros_like(x), where=length > 0)


def ranked(similar: np.ndarray, of: np.ndarray, left_out: np.ndarray) -> Ranking:
    """`similar` (n, n), classes `of` (n,), `left_out` (n, n) bool pairs that are not ranked. O(n² log n)."""
    cells = np.where(left_out, -np.inf, similar)
    best = cells.max(axis=1, keepdims=True)
    top = (cells >= best - TIED) & ~left_out
    same = of[:, None] == of
    first = (top & same).sum(axis=1) / np.maximum(top.sum(axis=1), 1)
    order = np.argsort(-cells, axis=1, kind="stable")
    order = np.where(np.take_along_axis(left_out, order, axis=1), -1, order)
    return Ranking(first, order, (same & ~left_out).any(axis=1))


def average_precisions(ranking: Ranking, of: np.ndarray) -> np.ndarray:
    """(n,) mean of the precision at each sample of the query's class; 0 for queries that have none."""
    hit = (of[ranking.order] == of[:, None]) & (ranking.order >= 0)
    found = np.cumsum(hit, axis=1)
    precision = (found / np.arange(1, hit.shape[1] + 1) * hit).sum(axis=1)
    return precision / np.maximum(found[:, -1], 1)


def rescues(first: np.ndarray) -> np.ndarray:
    """(T, T): share of queries at which token i (row) is wrong and token j (column) right, from `first` (T, n)."""
    return (1 - first) @ first.T / first.shape[1] - np.diag(((1 - first) * first).mean(axis=1))
