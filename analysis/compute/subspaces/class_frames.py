"""Classes as subspaces: a sample belongs to the class whose subspace holds most of its length.

A class c is an orthonormal frame S_c (d, k); its logit is ‖S_cᵀx‖, which lies between 0 and ‖x‖, is the same for x and
-x and for S_c and S_c R with any rotation R, is |sᵀx| for k = 1, and ‖x‖ for every class at k = d. For a uniformly
random frame E ‖Sᵀx‖² = (k / d) ‖x‖².

After the fact S_c is the k leading eigenvectors of the class's second moment Σ x xᵀ / n_c, not centred: of all frames
it holds most of the squared length of the class.

Reference: H. Wang, Z. Li & W. Zhang (2023), "Get the best of both worlds: improving accuracy and transferability by
Grassmann class representation".
"""

from __future__ import annotations

import numpy as np

TIED = 1e-9  # logits closer than this share of the length are equal
BLOCK = 1 << 22  # squared projections at a time


def class_frames(x: np.ndarray, of: np.ndarray, classes: int, k: int) -> list[np.ndarray]:
    """Frames (d, k_c) of rows `x` (n, d) with class `of` (n,), columns by falling eigenvalue; k_c <= k, the directions
    that a class has. O(n d min(n_c, d))."""
    return [leading(x[of == c], k) for c in range(classes)]


def leading(x: np.ndarray, k: int) -> np.ndarray:
    """(d, <= k) leading right singular vectors of `x` (n, d), not centred, by the smaller Gram matrix."""
    n, d = x.shape
    scale = float(np.abs(x).max()) if x.size else 0.0
    if scale == 0:
        return np.zeros((d, 0))
    x = x / scale
    values, vectors = np.linalg.eigh(x @ x.T if n < d else x.T @ x)
    keep = values > values[-1] * max(n, d) * np.finfo(float).eps
    values, vectors = values[keep][::-1][:k], vectors[:, keep][:, ::-1][:, :k]
    return np.linalg.qr(x.T @ vectors / np.sqrt(values))[0] if n < d else vectors


def squared_logits(x: np.ndarray, frames: list[np.ndarray], k: int) -> np.ndarray:
    """‖S_cᵀx‖² (n, C, k) of the first 1 … k columns of each frame. O(n d C k)."""
    out = np.empty((len(x), len(frames), k))
    for c, frame in enumerate(frames):
        along = np.cumsum((x @ frame) ** 2, axis=1)
        wide = min(along.shape[1], k)
        out[:, c, :wide] = along[:, :wide]
        out[:, c, wide:] = along[:, wide - 1 : wide] if wide else 0.0
    return out


def right_and_shares(
    x: np.ndarray, of: np.ndarray, frames: list[np.ndarray], k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each row and 1 … k columns, (n, k) each: 1 where the own class has the largest logit, a part where it shares
    that with others; share of the squared length in the own subspace; mean share in those of other classes. Rows of
    zeros have shares 0."""
    n, classes = len(x), len(frames)
    out = np.empty((3, n, k))
    step = max(1, BLOCK // (classes * k))
    for start in range(0, n, step):
        rows = slice(start, start + step)
        logits = squared_logits(x[rows], frames, k)
        own = np.take_along_axis(logits, of[rows, None, None], axis=1)[:, 0]
        length = (x[rows] ** 2).sum(axis=1)[:, None]
        best = logits.max(axis=1)
        tied = (logits >= (best - TIED * length)[:, None]).sum(axis=1)
        out[0, rows] = (own >= best - TIED * length) / tied
        whole = np.where(length > 0, length, 1.0)
        out[1, rows] = own / whole
        out[2, rows] = (logits.sum(axis=1) - own) / whole / (classes - 1)
    return out[0], np.clip(out[1], 0.0, 1.0), np.clip(out[2], 0.0, 1.0)
