"""Rows as points whose Euclidean distances stand for a metric, one block at a time: what was fitted on a subset
can then be asked about every other row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import ParameterError

METRICS = ("euclidean", "cosine")


@dataclass(frozen=True)
class Space:
    """`metric`; `centre` (d,) taken off first and `scale` (a power of two) divided by, so that no square overflows
    or loses digits. Cosine: unit vectors, with an axis of their own for zero vectors (1 - cos is then half the
    squared distance: 1 to any other vector, 0 between two of them)."""

    metric: str
    centre: np.ndarray
    scale: float

    @staticmethod
    def of(x: np.ndarray, metric: str = "euclidean") -> Space:
        """The space of finite rows `x` (n, d). Raises ParameterError for another metric."""
        if metric not in METRICS:
            raise ParameterError(f"metric {metric!r}", "one of " + ", ".join(METRICS))
        if metric == "cosine":
            return Space(metric, np.zeros(x.shape[1]), 1.0)
        half = x / 2  # a mean of numbers near the largest float would overflow
        centre = 2 * half.mean(axis=0, dtype=np.float64)
        largest = float(np.abs(half - centre / 2).max(initial=0.0))
        return Space(metric, centre, float(np.ldexp(1.0, int(np.frexp(largest)[1]) + 1)) if largest else 1.0)

    def place(self, block: np.ndarray) -> np.ndarray:
        """float64 points (m, d), for cosine (m, d + 1), of finite rows `block` (m, d)."""
        block = np.asarray(block, dtype=np.float64)
        if self.metric == "euclidean":
            return block / self.scale - self.centre / self.scale
        largest = np.abs(block).max(axis=1, keepdims=True)
        block = block / np.where(largest > 0, largest, 1.0)
        norms = np.linalg.norm(block, axis=1, keepdims=True)
        zero = norms == 0
        return np.hstack([block / np.where(zero, 1.0, norms), zero.astype(np.float64)])


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(p, q) squared Euclidean distances of centred points by one product, never negative. O(p q d)."""
    square = np.einsum("ij,ij->i", a, a)[:, None] + np.einsum("ij,ij->i", b, b)
    square -= 2 * (a @ b.T)
    return np.maximum(square, 0.0, out=square)


def nearest_of(points: np.ndarray, others: np.ndarray, block: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of `others` (q, d) for each of `points` (p, d): its index (p,), ties to the lower, and the
    distance (p,). O(p q d) time, O(block q) memory."""
    index, distance = np.empty(len(points), np.int64), np.empty(len(points))
    for start in range(0, len(points), block):
        part = points[start : start + block]
        index[start : start + block] = squared_distances(part, others).argmin(axis=1)
        difference = part - others[index[start : start + block]]
        distance[start : start + block] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    return index, distance
