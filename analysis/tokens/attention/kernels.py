"""Ways to make weights of attention of the same queries and keys, and how well they tell queries apart.

    softmax                exp(q · k / sqrt(e)), rows made whole
    ReLU, linear           relu(q) · relu(k), rows made whole: q and 2 q read the same
    ELU + 1, linear        (elu(q) + 1) · (elu(k) + 1), rows made whole
    ReLU, mean taken off   w - mean + 1/N of w = relu(q) · relu(k): rows sum to 1 and may have negative weights

(D. Han et al. 2024). Two queries are confused where they differ and their rows do not.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analysis.tokens.attention.heads import softmax_over

SAME, DIFFERENT = 0.02, 0.5  # total variation of rows; of the median distance between queries


def _whole(w: np.ndarray, may: np.ndarray) -> np.ndarray:
    w = w * may
    total = w.sum(axis=1, keepdims=True)
    even = may / np.maximum(may.sum(axis=1, keepdims=True), 1)
    return np.where(total > 1e-12, w / np.where(total > 0, total, 1), even)


def softmax(q: np.ndarray, k: np.ndarray, may: np.ndarray) -> np.ndarray:
    return softmax_over((q @ k.T / np.sqrt(q.shape[1]))[None], may[None])[0]


def relu_linear(q: np.ndarray, k: np.ndarray, may: np.ndarray) -> np.ndarray:
    return _whole(np.maximum(q, 0) @ np.maximum(k, 0).T, may)


def elu_linear(q: np.ndarray, k: np.ndarray, may: np.ndarray) -> np.ndarray:
    q, k = (np.where(x > 0, x + 1, np.exp(np.minimum(x, 0))) for x in (q, k))
    return _whole(q @ k.T, may)


def subtractive(q: np.ndarray, k: np.ndarray, may: np.ndarray) -> np.ndarray:
    w = np.maximum(q, 0) @ np.maximum(k, 0).T / np.sqrt(q.shape[1]) * may
    many = np.maximum(may.sum(axis=1, keepdims=True), 1)
    return (w - w.sum(axis=1, keepdims=True) / many + 1 / many) * may


KERNELS: dict[str, Callable] = {
    "softmax": softmax, "ReLU, linear": relu_linear, "ELU + 1, linear": elu_linear,
    "ReLU, mean taken off": subtractive,
}  # fmt: skip


def confused(q: np.ndarray, rows: np.ndarray) -> float:
    """Share of pairs of clearly different queries (m, e) whose rows (m, T) are nearly the same; 0 without them."""
    apart = np.sqrt(np.maximum(np.square(q).sum(1)[:, None] + np.square(q).sum(1) - 2 * q @ q.T, 0))
    upper = np.triu_indices(len(q), 1)
    apart = apart[upper]
    if not len(apart) or not apart.max() > 0:
        return 0.0
    pairs = np.flatnonzero(apart > DIFFERENT * np.median(apart))
    if not len(pairs):
        return 0.0
    i, j = upper[0][pairs], upper[1][pairs]
    same = [0.5 * np.abs(rows[a] - rows[b]).sum() <= SAME for a, b in zip(i, j, strict=True)]
    return float(np.mean(same))


def longer_apart(kernel: Callable, q: np.ndarray, k: np.ndarray, may: np.ndarray) -> float:
    """Mean total variation between the rows of q and of 2 q: 0 where a kernel cannot tell them apart."""
    return float(0.5 * np.abs(kernel(2 * q, k, may) - kernel(q, k, may)).sum(axis=1).mean())
