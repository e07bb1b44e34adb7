"""The graph of a sample's tokens, its spectrum, and that of the graph in which merged tokens are one.

    W_ij = (1 + cos(x_i, x_j)) / 2,      L = I - D^{-1/2} W D^{-1/2},      0 = λ_1 <= … <= λ_T

Lifted back to all tokens, a token has the mean edges of the group it is in: W'_ij = mean of W over the groups of i and
j (Loukas' lifting). Equal tokens have equal edges, so that merging them leaves the spectrum as it was.
"""

from __future__ import annotations

import numpy as np


def edges(x: np.ndarray) -> np.ndarray:
    """(T, T) of tokens (T, d); those of length 0 are at right angles to all."""
    size = np.linalg.norm(x, axis=1, keepdims=True)
    u = x / np.where(size > 0, size, 1.0)
    return (1 + u @ u.T) / 2


def lifted(w: np.ndarray, of: np.ndarray) -> np.ndarray:
    """(T, T) of groups `of` (T,): every edge the mean over both groups."""
    hot = np.eye(int(of.max()) + 1)[of]
    mean = hot / hot.sum(axis=0)
    return hot @ (mean.T @ w @ mean) @ hot.T


def spectrum(w: np.ndarray) -> np.ndarray:
    """(T,) eigenvalues of the normalised Laplacian, rising."""
    root = 1 / np.sqrt(np.maximum(w.sum(axis=1), 1e-12))
    return np.linalg.eigvalsh(np.eye(len(w)) - root[:, None] * w * root)


def distance(x: np.ndarray, of: np.ndarray) -> float:
    """Σ |λ_i - λ'_i| / Σ λ_i of tokens x (T, d) and groups of them: 0 where nothing is merged, or equal tokens are."""
    w = edges(x)
    whole = spectrum(w)
    return float(np.abs(whole - spectrum(lifted(w, of))).sum() / max(whole.sum(), 1e-12))


def groups(x: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """(T,) numbers of the groups of tokens x (T, d) by the token `owner` (T,) that each went into; one that is gone
    (-1) is put to the group whose mean is nearest. Without any left all are one group."""
    left = owner >= 0
    if not left.any():
        return np.zeros(len(x), int)
    names, of = np.unique(owner[left], return_inverse=True)
    means = np.zeros((len(names), x.shape[1]))
    np.add.at(means, of, x[left])
    means /= np.bincount(of)[:, None]
    found = np.empty(len(x), int)
    found[left] = of
    gone = x[~left]
    found[~left] = (np.square(means).sum(axis=1) - 2 * gone @ means.T).argmin(axis=1)
    return found
