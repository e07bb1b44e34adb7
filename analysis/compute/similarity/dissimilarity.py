"""Representational dissimilarity: how far every two samples lie from each other in a representation.

As vectors (m,) of the m = n (n - 1) / 2 pairs of samples, the pairs (0, 1), (0, 2) … (n - 2, n - 1). Equal samples lie
at exactly 0 from each other.

- *Euclidean*: the distance.
- *cosine*: 1 - cos of the angle between two samples' activations.
- *correlation*: 1 - Pearson's r of two samples over the units.

A sample without a direction (all units 0, for correlation all units equal) lies at 1 from every other.
"""

from __future__ import annotations

import numpy as np

from analysis.compute.neighbours.neighbours import as_points, near_one
from analysis.compute.neighbours.squared_distances import SquaredDistances

EUCLIDEAN, COSINE, CORRELATION = "Euclidean", "cosine", "correlation"
KINDS = (EUCLIDEAN, COSINE, CORRELATION)
ROUNDING = 1e-13  # of a row's largest entry: less spread over the units is none
BLOCK_BYTES = 32 << 20


def pair_count(n: int) -> int:
    return n * (n - 1) // 2


def ends_of_pairs(n: int) -> tuple[np.ndarray, np.ndarray]:
    """First and second sample (m,) int32 of each pair."""
    first = np.repeat(np.arange(n, dtype=np.int32), np.arange(n - 1, -1, -1))
    second = np.concatenate([np.arange(i + 1, n, dtype=np.int32) for i in range(n)])
    return first, second


def dissimilarities(x: np.ndarray, kind: str) -> tuple[np.ndarray, int]:
    """Dissimilarities (m,) of the samples of finite `x` (n, d), and how many samples have no direction.

    Time O(n² d) in matrix products, memory 8 m bytes beside a copy of `x` and a block.
    """
    if kind == CORRELATION:
        largest = np.abs(x).max(axis=1, keepdims=True)
        x = x / np.where(largest > 0, largest, 1.0)
        x = x - x.mean(axis=1, keepdims=True)
        x[np.abs(x).max(axis=1) <= ROUNDING] = 0.0
    points, n_zero = as_points(x, "euclidean" if kind == EUCLIDEAN else "cosine")
    points, scale = near_one(points) if kind == EUCLIDEAN else (points, 1.0)
    n = len(points)
    between, out, start = SquaredDistances(points), np.empty(pair_count(n)), 0
    step = max(1, BLOCK_BYTES // (8 * n))
    for top in range(0, n, step):
        rows = np.arange(top, min(top + step, n))
        for i, row in zip(rows, between.squares(rows), strict=True):
            out[start : start + n - 1 - i] = row[i + 1 :]
            start += n - 1 - i
    if kind == EUCLIDEAN:
        np.sqrt(out, out=out)
        out *= scale
    else:
        out /= 2
    return out, n_zero


def label_dissimilarities(codes: np.ndarray) -> np.ndarray:
    """(m,) 0 for two samples (n,) of one class and 1 for two of different classes."""
    first, second = ends_of_pairs(len(codes))
    return (codes[first] != codes[second]).astype(np.float64)
