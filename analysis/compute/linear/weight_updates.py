"""Where an update of a weight matrix lies beside the matrix it changed: its top directions, and intruders.

Overlap: Σ cos² / k between the k leading left (or right) singular subspaces of ΔW and of W0, k / m by chance.
Intruders: leading left singular vectors of the tuned matrix whose largest |cosine| with any of W0's stays below a
bound; a random update of the same norm makes some, too (Shuttleworth et al. 2024).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Overlap:
    """`left`, `right` in [0, 1] of `k` directions, with what random subspaces give on average."""

    left: float
    right: float
    left_null: float
    right_null: float
    k: int


def top_overlap(update: np.ndarray, base: np.ndarray, most: int) -> Overlap:
    """Of the leading `most` directions, or fewer where a matrix has a lower rank; 0 where one has rank 0."""
    found = [np.linalg.svd(w, full_matrices=False) for w in (update, base)]
    k = min(most, *(rank(s, base.shape) for _, s, _ in found))
    if k == 0:
        return Overlap(0.0, 0.0, 0.0, 0.0, 0)
    (u, _, v), (u0, _, v0) = found
    left = float(((u[:, :k].T @ u0[:, :k]) ** 2).sum()) / k
    right = float(((v[:k] @ v0[:k].T) ** 2).sum()) / k
    m, n = base.shape
    return Overlap(min(left, 1.0), min(right, 1.0), k / m, k / n, k)


def rank(sigma: np.ndarray, shape: tuple[int, int]) -> int:
    """Singular values above rounding."""
    return int((sigma > sigma[0] * max(shape) * np.finfo(float).eps).sum()) if sigma[0] > 0 else 0


def intruders(tuned: np.ndarray, base_left: np.ndarray, most: int, bound: float) -> int:
    """How many of the leading `most` left singular vectors of `tuned` have no |cosine| of `bound` or more with any
    column of `base_left` (m, r), W0's left singular vectors."""
    u = np.linalg.svd(tuned, full_matrices=False)[0][:, :most]
    return int((np.abs(u.T @ base_left).max(axis=1) < bound).sum())


def random_update(update: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Independent Gaussian entries with the Frobenius norm of `update`."""
    drawn = rng.standard_normal(update.shape)
    return drawn * (np.linalg.norm(update) / np.linalg.norm(drawn))
