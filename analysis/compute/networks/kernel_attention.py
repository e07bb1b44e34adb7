"""What self-attention would be if it were kernel principal component analysis of its keys, for a head on a sequence.

With k(a, b) = exp(a · b / √d) the output of attention at a query is h(q) = Σ_j v_j k(q, k_j) / Σ_j k(q, k_j). Put
φ for the feature map of k(a, b) / (g(a) g(b)), g(a) = Σ_j k(a, k_j): then h(q) is made of the inner products of φ(q)
with the φ(k_j), as the projections onto kernel principal components are, and the claim is that the columns of V are the
eigenvectors of the centred Gram matrix G of the keys, G_ij = <φ(k_i), φ(k_j)> of centred φ (R. Teo & T. Nguyen 2024).

Projections of centred φ(q) onto the span of directions u_c = Σ_j A_jc φ(k_j), columns of A with the sum 0, have the
squared length b' (AᵀGA)⁺ b with b = Aᵀ γ(q), γ_j(q) = <φ(q), φ(k_j)>; over |φ(q)|² that is a share in [0, 1], and one
less it the projection loss, both terms on the same scale.

Everything is computed in logarithms until the last step, and per query only ratios count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FLAT = 1e-10  # of the largest eigenvalue: directions below are none
LARGEST = 300.0  # exponent: a query this far from all keys has a share of 0 anyway
KERNELS = ("softmax", "linear")


@dataclass(frozen=True)
class KeySpace:
    """Keys of one sequence: centred Gram matrix `gram` (N, N), its `values` (r,), falling, and `vectors` (N, r); of the
    queries `cross` (N, N), entry (i, j) <φ(q_i), φ(k_j)>, and squared lengths `lengths` (N,), both centred."""

    gram: np.ndarray
    values: np.ndarray
    vectors: np.ndarray
    cross: np.ndarray
    lengths: np.ndarray


def key_space(q: np.ndarray, k: np.ndarray, kernel: str) -> KeySpace:
    """Of queries and keys (N, d) of one head. O(N² d + N³)."""
    gram, cross, lengths = _products(q, k, kernel)
    column, whole = gram.mean(axis=0), gram.mean()
    lengths = lengths - 2 * cross.mean(axis=1) + whole
    cross = cross - cross.mean(axis=1, keepdims=True) - column + whole
    gram = gram - column - column[:, None] + whole
    values, vectors = np.linalg.eigh((gram + gram.T) / 2)
    kept = values[::-1] > FLAT * max(values[-1], 0.0)
    return KeySpace(gram, values[::-1][kept], vectors[:, ::-1][:, kept], cross, np.maximum(lengths, 0.0))


def _products(q, k, kernel: str):
    """Inner products of φ before centring: keys with keys, queries with keys, queries with themselves (N,)."""
    if kernel == "linear":
        return k @ k.T, q @ k.T, np.einsum("ij,ij->i", q, q)
    scale = np.sqrt(k.shape[1])
    own, across = k @ k.T / scale, q @ k.T / scale
    of_key, of_query = (_log_sum(x) for x in (own, across))
    gram = own - of_key - of_key[:, None]
    shift = gram.max()  # a common factor of all products
    cross = across - of_key - of_query[:, None] - shift
    lengths = np.einsum("ij,ij->i", q, q) / scale - 2 * of_query - shift
    return np.exp(gram - shift), np.exp(np.minimum(cross, LARGEST)), np.exp(np.minimum(lengths, 2 * LARGEST))


def _log_sum(x: np.ndarray) -> np.ndarray:
    top = x.max(axis=1)
    return top + np.log(np.exp(x - top[:, None]).sum(axis=1))


def cosines(v: np.ndarray, space: KeySpace) -> np.ndarray:
    """|cosine| (columns that vary, eigenvectors) of the centred columns of `v` (N, c) with the eigenvectors, at most as
    many as columns."""
    unit = unit_columns(v)
    return np.abs(unit.T @ space.vectors[:, : v.shape[1]])


def unit_columns(v: np.ndarray) -> np.ndarray:
    away = v - v.mean(axis=0)
    size = np.sqrt((away**2).sum(axis=0))
    kept = size > 1e-12 * max(float(np.abs(v).max(initial=0.0)), 1e-300) * np.sqrt(len(v))
    return away[:, kept] / size[kept]


def assigned(found: np.ndarray) -> float:
    """Mean over columns of the cosines (c, r) of the one-to-one pairs with the largest sum."""
    from scipy.optimize import linear_sum_assignment

    i, j = linear_sum_assignment(found, maximize=True)
    return float(found[i, j].mean())


def u_centred(gram: np.ndarray) -> np.ndarray:
    """A Gram matrix (N, N), N >= 4, centred so that unrelated ones have an inner product of 0 on average, and of length
    1 unless it has none."""
    n = len(gram)
    g = gram - np.diag(np.diag(gram))
    rows = g.sum(axis=1) / (n - 2)
    out = g - rows - rows[:, None] + g.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(out, 0.0)
    size = np.linalg.norm(out)
    return out / size if size > 1e-12 * np.linalg.norm(gram) else np.zeros_like(out)


def captured(space: KeySpace, a: np.ndarray) -> float:
    """Mean over queries of the share of |φ(q)|² within the span of Σ_j A_jc φ(k_j), columns c of `a` (N, c)."""
    a = unit_columns(a)
    inner = a.T @ space.gram @ a
    values, vectors = np.linalg.eigh((inner + inner.T) / 2)
    kept = values > FLAT * max(float(values.max(initial=0.0)), 1e-300)
    along = space.cross @ a @ vectors[:, kept]
    parts = (along**2 / values[kept]).sum(axis=1)
    there = space.lengths > 0
    return float(np.minimum(parts[there] / space.lengths[there], 1.0).mean()) if there.any() else 0.0


def participation(values: np.ndarray) -> float:
    """(Σ λ)² / Σ λ²: how many eigenvalues count."""
    return float(values.sum() ** 2 / (values**2).sum()) if len(values) and values.any() else 0.0


def log_term_ratio(q: np.ndarray, k: np.ndarray, v: np.ndarray, kernel: str) -> float:
    """log10 of the mean |φ(q)|² over the mean |h(q)|², as they stand in the projection loss before they are put on one
    scale; h is the output of attention with values `v` (N, c)."""
    across = q @ k.T / np.sqrt(k.shape[1])
    of_query = _log_sum(across)
    output = np.exp(across - of_query[:, None]) @ v
    own = np.einsum("ij,ij->i", q, q)
    logs = np.log(np.maximum(own, 1e-300)) if kernel == "linear" else own / np.sqrt(k.shape[1]) - 2 * of_query
    top = logs.max()
    mean = top + np.log(np.exp(logs - top).mean())
    return float((mean - np.log(max(float((output**2).sum(axis=1).mean()), 1e-300))) / np.log(10))
