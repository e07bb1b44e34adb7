"""Mean and variance of Σ_ij A_ij B_π(i)π(j) over all exchanges π of the samples, for matrices that are not symmetric,
such as directed neighbour graphs: exact, for any data.

The diagonal is not looked at. Off it, A splits into parts that no exchange mixes,

    A_ij = m + (r_i + r_j) + (t_i - t_j) + u_ij + w_ij,      Σ r = Σ t = 0,

u symmetric and w antisymmetric with rows that sum to zero (the symmetric group's representations on ordered pairs).
The parts with r and t are of one kind, and together a linear statistic Σ M_i,π(i) with M = 2 (n - 2) r r'ᵀ + 2 n t t'ᵀ,
whose variance is |M|² / (n - 1) (W. Hoeffding 1951); those of u and w are uncorrelated with it and each other, with
variances 2 |u|² |u'|² / (n (n - 3)) and 2 |w|² |w'|² / ((n - 1) (n - 2)) by Schur's orthogonality. The symmetric case
is N. Mantel's (1967), as in `exchange_moments.Hollow`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FEWEST = 4  # samples: the formulas divide by n - 3


@dataclass(frozen=True)
class Arrows:
    """What a matrix (n, n) is known by: `mean` m of its entries off the diagonal, effects `rows` r and `turns` t (n,),
    `even` = |u|² and `odd` = |w|²."""

    mean: float
    rows: np.ndarray
    turns: np.ndarray
    even: float
    odd: float

    @classmethod
    def of(cls, a: np.ndarray) -> Arrows:
        """Of the matrix itself. O(n²)."""
        a = np.array(a, dtype=np.float64)
        np.fill_diagonal(a, 0.0)
        return cls.of_sums(a.sum(axis=1), a.sum(axis=0), float(np.vdot(a, a)), float(np.vdot(a, a.T)))

    @classmethod
    def of_sums(cls, out: np.ndarray, into: np.ndarray, squared: float, mutual: float) -> Arrows:
        """From row sums `out` and column sums `into` (n,), Σ A_ij² and Σ A_ij A_ji."""
        n = len(out)
        mean = float(out.sum()) / (n * (n - 1))
        rows = ((out + into) / 2 - (n - 1) * mean) / (n - 2)
        turns = (out - into) / (2 * n)
        even = (squared + mutual) / 2 - n * (n - 1) * mean**2 - 2 * (n - 2) * float(rows @ rows)
        odd = (squared - mutual) / 2 - 2 * n * float(turns @ turns)
        return cls(mean, rows, turns, max(even, 0.0), max(odd, 0.0))

    @classmethod
    def of_neighbours(cls, indices: np.ndarray) -> Arrows:
        """Of the graph with an arrow from each point to its neighbours `indices` (n, k). O(n k log(n k))."""
        n, k = indices.shape
        there = np.repeat(np.arange(n, dtype=np.int64), k) * n + indices.ravel()
        back = indices.ravel().astype(np.int64) * n + np.repeat(np.arange(n), k)
        mutual = int(np.isin(there, back, assume_unique=True).sum())
        into = np.bincount(indices.ravel(), minlength=n).astype(np.float64)
        return cls.of_sums(np.full(n, float(k)), into, float(n * k), float(mutual))


def arrow_moments(one: Arrows, other: Arrows) -> tuple[float, float]:
    """Mean and variance of Σ_{i != j} A_ij B_π(i)π(j) over all exchanges π."""
    n = len(one.rows)
    a, b = 2.0 * (n - 2), 2.0 * n
    linear = a**2 * _squares(one.rows, one.rows, other.rows, other.rows)
    linear += b**2 * _squares(one.turns, one.turns, other.turns, other.turns)
    linear += 2 * a * b * _squares(one.rows, one.turns, other.rows, other.turns)
    variance = linear / (n - 1)
    variance += 2 * one.even * other.even / (n * (n - 3)) + 2 * one.odd * other.odd / ((n - 1) * (n - 2))
    return n * (n - 1) * one.mean * other.mean, max(variance, 0.0)


def _squares(a, b, c, d) -> float:
    return float(a @ b) * float(c @ d)
