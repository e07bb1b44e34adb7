"""From pre-activations to codes: the rule that makes a dictionary sparse, one for each architecture.

With p = (x - shift) E + b, the pre-activations (n, k), and D (k, d) the decoder:

    linear             c = p
    ReLU               c = max(p, 0)                                                        (Bricken et al. 2023)
    TopK               c = max(p, 0) where p is among the k largest of its row, else 0      (Gao et al. 2024)
    JumpReLU           c = max(p, 0) where p > θ, unit by unit, else 0                      (Rajamanoharan et al. 2024)
    BatchTopK          at inference a JumpReLU with one θ for all units                     (Bussmann et al. 2024)
    gated              c = max(eʳ q + m, 0) where q + g > 0, with q = (x - shift) E          (Rajamanoharan et al. 2024)
    matching pursuit   k times: the unit whose direction has the largest positive product with what is left takes it
                       and is subtracted                                                    (Mallat & Zhang 1993)
    nearest            c = 1 for the nearest of the directions, else 0                      (k-means)
    nearest by stage   in each stage c = 1 for the direction of it nearest to what the stages before left over, else 0
                                                                                             (residual quantisation)
    non-negative       c = argmin over c >= 0 of |x - shift - c D|²                         (Lee & Seung 1999; NMF)
    least squares
    prototype          c = log((d² + 1) / (d² + ε)), d² the squared distance to the direction   (Chen et al. 2019)
    similarity

Fewer than k of a TopK may fire: what is not positive is 0 whatever its place. Ties go to the lower unit.
"""

from __future__ import annotations

import numpy as np

LINEAR, RELU, TOPK, JUMP, GATED = "linear", "ReLU", "TopK", "JumpReLU", "gated"
PURSUIT, NEAREST, NONNEGATIVE = "matching pursuit", "nearest", "non-negative least squares"
BY_STAGE, PROTOTYPE = "nearest by stage", "prototype similarity"
RULES = (LINEAR, RELU, TOPK, JUMP, GATED, PURSUIT, NEAREST, BY_STAGE, NONNEGATIVE, PROTOTYPE)


def keep_largest(p: np.ndarray, k: int) -> np.ndarray:
    """`p` (n, m) where it is positive and among the k largest of its row, else 0. In place. O(n m)."""
    np.maximum(p, 0, out=p)
    if k >= p.shape[1]:
        return p
    least = np.partition(p, -k, axis=1)[:, -k][:, None]
    over = p > least
    missing = k - over.sum(axis=1)
    tied = (p == least) & (least > 0)
    extra = tied.sum(axis=1) > missing
    if extra.any():  # ties at the border: the lower units
        tied[extra] &= np.cumsum(tied[extra], axis=1) <= missing[extra, None]
    p[~(over | tied)] = 0
    return p


def jump(p: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """`p` (n, m) where it is positive and above `threshold` (m,), else 0. In place."""
    p[~(p > np.maximum(threshold, 0))] = 0
    return p


def gated(q: np.ndarray, gate: np.ndarray, log_scale: np.ndarray, magnitude: np.ndarray) -> np.ndarray:
    """Codes (n, m) of products `q` (n, m) with biases and scales (m,)."""
    codes = np.maximum(q * np.exp(log_scale) + magnitude, 0)
    codes[q + gate <= 0] = 0
    return codes


def pursued(z: np.ndarray, directions: np.ndarray, k: int) -> np.ndarray:
    """Codes (n, m) of at most k steps of matching pursuit on rows `z` (n, d) with `directions` (m, d) of length 1.

    A step takes the largest positive product; a row without one is done. A unit may be taken again. O(k n m d).
    """
    left, codes = z.astype(directions.dtype, copy=True), np.zeros((len(z), len(directions)), directions.dtype)
    rows = np.arange(len(z))
    for _ in range(k):
        products = left[rows] @ directions.T
        best = products.argmax(axis=1)
        size = products[np.arange(len(rows)), best]
        on = size > 0
        rows, best, size = rows[on], best[on], size[on]
        if not len(rows):
            break
        codes[rows, best] += size
        left[rows] -= size[:, None] * directions[best]
    return codes


def nearest(z: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """One-hot codes (n, m) of the nearest of `directions` (m, d) to rows `z` (n, d); ties to the lower unit."""
    distance = (directions**2).sum(axis=1) - 2 * (z @ directions.T)
    codes = np.zeros(distance.shape, directions.dtype)
    codes[np.arange(len(z)), distance.argmin(axis=1)] = 1
    return codes


def nearest_by_stage(z: np.ndarray, directions: np.ndarray, levels: tuple[int, ...]) -> np.ndarray:
    """Codes (n, m), one 1 for each stage: the nearest of the stage's directions to what is left of `z` (n, d), which is
    then subtracted. `levels`: the number of the first direction after each stage, so the last is m. O(n m d)."""
    left, codes = z.astype(directions.dtype, copy=True), np.zeros((len(z), len(directions)), directions.dtype)
    for start, end in zip((0, *levels[:-1]), levels, strict=True):
        book = directions[start:end]
        own = ((book**2).sum(axis=1) - 2 * (left @ book.T)).argmin(axis=1)
        codes[np.arange(len(z)), start + own] = 1
        left -= book[own]
    return codes


def squared_distances(z: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """(n, m) float64 between rows `z` (n, d) and `directions` (m, d). O(n m d)."""
    centre = directions.mean(axis=0, dtype=np.float64)  # what both have in common would cost digits
    a, b = z.astype(np.float64) - centre, directions.astype(np.float64) - centre
    found = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * (a @ b.T)
    return np.maximum(found, 0, out=found)


def similarity(squared: np.ndarray, epsilon: float) -> np.ndarray:
    """log((d² + 1) / (d² + ε)) of squared distances, float64: log(1/ε) at 0, falling to 0."""
    return np.log1p((1 - epsilon) / (squared + epsilon))
