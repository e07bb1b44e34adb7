"""Fewer numbers for each key: projections of keys and values to rank r.

With second moments S_Q = Q'Q and S_K = K'K, the matrix of rank r that leaves the logits of attention nearest,

    M* = S_Q^{-1/2} [ S_Q^{1/2} S_K^{1/2} ]_r S_K^{-1/2}  =  argmin ‖Q K' - Q M K'‖_F,

[·]_r cutting off behind r singular values; the error is their tail, which no matrix of rank r can beat (Eckart and
Young: Q M* K' is the best approximation of Q K' itself). Where S_Q and S_K are equal it is the PCA of the keys. Roots
are inverted on their range alone, so that moments may be singular.
"""

from __future__ import annotations

import numpy as np

RANGE = 1e-12  # of the largest eigenvalue: what is below counts as 0


def roots(moment: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(S^{1/2}, S^{-1/2}) of a symmetric S (e, e), the inverse on its range."""
    values, vectors = np.linalg.eigh((moment + moment.T) / 2)
    values = np.maximum(values, 0)
    there = values > RANGE * max(float(values.max(initial=0)), np.finfo(float).tiny)
    root = np.sqrt(np.where(there, values, 0))
    inverse = np.where(there, 1 / np.where(there, root, 1), 0)
    return (vectors * root) @ vectors.T, (vectors * inverse) @ vectors.T


class QueryWeighted:
    """The optimum for every rank, from S_Q and S_K (e, e). `singular` (e,) of S_Q^{1/2} S_K^{1/2}, falling."""

    def __init__(self, queries: np.ndarray, keys: np.ndarray) -> None:
        root_q, self._inverse_q = roots(queries)
        root_k, self._inverse_k = roots(keys)
        self._left, self.singular, self._right = np.linalg.svd(root_q @ root_k)

    def __call__(self, rank: int) -> np.ndarray:
        """(e, e) M* of this rank: keys become k M*'."""
        cut = (self._left[:, :rank] * self.singular[:rank]) @ self._right[:rank]
        return self._inverse_q @ cut @ self._inverse_k


class Principal:
    """Projection onto the first axes of a second moment (e, e). `singular` (e,) roots of its eigenvalues, falling."""

    def __init__(self, moment: np.ndarray) -> None:
        values, vectors = np.linalg.eigh((moment + moment.T) / 2)
        self.axes, self.singular = vectors[:, ::-1], np.sqrt(np.maximum(values[::-1], 0))

    def __call__(self, rank: int) -> np.ndarray:
        u = self.axes[:, :rank]
        return u @ u.T


class AtRandom:
    """Projection onto random directions, nested: what a rank is worth without looking at keys."""

    def __init__(self, e: int, rng: np.random.Generator) -> None:
        self.axes = np.linalg.qr(rng.standard_normal((e, e)))[0]

    def __call__(self, rank: int) -> np.ndarray:
        u = self.axes[:, :rank]
        return u @ u.T


def logit_error(queries: np.ndarray, keys: np.ndarray, matrix: np.ndarray) -> float:
    """‖Q K' - Q M K'‖² from queries (m, e) and keys (n, e), without the (m, n) logits."""
    root_q, root_k = roots(queries.T @ queries)[0], roots(keys.T @ keys)[0]
    return float(np.square(root_q @ (np.eye(len(matrix)) - matrix) @ root_k).sum())


def shared_out(energies: np.ndarray, total: int) -> np.ndarray:
    """(h,) ranks of h heads that add up to `total` and leave the least tail Σ_h Σ_{i > r_h} of `energies` (h, e),
    falling along each row: the largest come first wherever they are, which is exact. Each head has at least one.

    Equal to one price λ for a dimension, at which every head takes those that are worth it.
    """
    heads, e = energies.shape
    total = int(np.clip(total, heads, heads * e))
    ranks = np.ones(heads, int)
    order = np.argsort(-energies[:, 1:], axis=None, kind="stable")[: total - heads]
    np.add.at(ranks, order // max(e - 1, 1), 1)
    return ranks


def needed_rank(errors: np.ndarray, ranks: np.ndarray, most: float) -> int:
    """The least of `ranks` (m,), rising, from which on no error (m,) is above `most`; the last where none is."""
    above = np.flatnonzero(~(errors <= most))
    return int(ranks[min(above[-1] + 1, len(ranks) - 1)] if len(above) else ranks[0])


def crossing(errors: np.ndarray, ranks: np.ndarray, most: float) -> float:
    """`needed_rank` with the error drawn as a line between the ranks that were tried."""
    at = int(np.flatnonzero(ranks == needed_rank(errors, ranks, most))[0])
    if at == 0 or not errors[at - 1] > errors[at]:
        return float(ranks[at])
    part = (errors[at - 1] - most) / (errors[at - 1] - errors[at])
    return float(ranks[at - 1] + min(max(part, 0.0), 1.0) * (ranks[at] - ranks[at - 1]))


def cache_bytes(layers: int, heads: int, tokens: float, width: float, bits: float = 16.0) -> float:
    """Bytes of keys and values: 2 L H T e bits / 8, with H heads that have keys of their own, e wide each."""
    return 2.0 * layers * heads * tokens * width * bits / 8
