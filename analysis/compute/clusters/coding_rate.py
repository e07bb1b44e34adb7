"""Bits that rows cost up to an error ε, as one cloud and as the parts of a partition (the coding rate).

R(Z) = ½ log det(I + d / (n ε²) Z Zᵀ) of rows Z (n, d), in nats;
R_c = Σ_j n_j / (2 n) log det(I + d / (n_j ε²) Z_j Z_jᵀ);  ΔR = R - R_c >= 0, and 0 exactly where all parts have the
same second moment. All ε come from one eigen-decomposition of the smaller Gram matrix.

Reference: Y. Yu, K. Chan, C. You, C. Song & Y. Ma (2020), "Learning diverse and discriminative representations via the
principle of maximal coding rate reduction".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rates:
    """`whole` R, `parts` R_c and `reduction` ΔR, each (e,) over ε; `each` (k, e) rate of every part by itself."""

    whole: np.ndarray
    parts: np.ndarray
    each: np.ndarray

    @property
    def reduction(self) -> np.ndarray:
        return self.whole - self.parts


def rate(z: np.ndarray, epsilon: np.ndarray) -> np.ndarray:
    """R (e,) of the rows z (n, d), in nats. O(n d min(n, d))."""
    n, d = z.shape
    gram = z.T @ z if d <= n else z @ z.T
    values = np.maximum(np.linalg.eigvalsh(gram), 0.0)
    return np.log1p(values[:, None] * (d / (n * np.square(epsilon)))).sum(axis=0) / 2


def rates(z: np.ndarray, codes: np.ndarray, epsilon: np.ndarray) -> Rates:
    """`z` (n, d) rows, `codes` (n,) part of each from 0, `epsilon` (e,) > 0. O(n d min(n, d))."""
    counts = np.bincount(codes)
    each = np.zeros((len(counts), len(epsilon)))
    for c in np.flatnonzero(counts):
        each[c] = rate(z[codes == c], epsilon)
    return Rates(rate(z, epsilon), (counts / len(z)) @ each, each)


def unit_rows(x: np.ndarray, centre: bool) -> np.ndarray:
    """Rows of length 1, after taking the mean off where asked; a row of zeros stays zero."""
    x = np.asarray(x, np.float64)
    x = x - x.mean(axis=0) if centre else x
    largest = np.abs(x).max(axis=1, keepdims=True)
    x = x / np.where(largest > 0, largest, 1.0)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, 1.0)
