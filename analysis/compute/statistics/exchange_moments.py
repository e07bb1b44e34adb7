"""Mean and variance of a similarity of two representations when the samples of one side are exchanged: exact, for any
data, without drawing a single permutation.

A similarity that is a sum over pairs of samples, s = Σ_ij A_ij B_ij with A from one side and B from the other, has
under a random exchange of B's samples a mean and a variance that need three numbers of each matrix only:

- rows and columns of A and B sum to zero (centred Gram matrices, projections): trace T, squared length T2 = Σ A_ij²,
  squared diagonal S2 = Σ A_ii² (F. Kazi-Aoual et al. 1995);
- symmetric without a diagonal (distances, neighbour graphs): split as m + r_i + r_j + u_ij with Σ r = 0 and the rows
  of u summing to zero: then s = n (n - 1) m m' + 2 (n - 2) Σ r_i r'_i + Σ u_ij u'_ij, whose parts are uncorrelated
  (N. Mantel 1967; the split is the U-centring of Székely & Rizzo 2014).

p-values from these two moments are bounds by Cantelli's inequality, so they assume nothing.

References: F. Kazi-Aoual, S. Hitier, R. Sabatier & J.-D. Lebreton (1995), "Refined approximations to permutation tests
for multivariate inference"; N. Mantel (1967), "The detection of disease clustering"; F. Cantelli (1928).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FEWEST = 4  # samples: the formulas divide by n - 3


def paired_sum(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Mean and variance of Σ_i <a_i, b_π(i)> over random orders π of the rows of b, (n, d) both (W. Hoeffding 1951, "A
    combinatorial central limit theorem"). O(n d²); the variance is NaN for a single row."""
    n, centred = len(a), (a - a.mean(axis=0), b - b.mean(axis=0))
    mean = n * float(a.mean(axis=0) @ b.mean(axis=0))
    if n < 2:
        return mean, float("nan")
    short = [x.T @ x if x.shape[1] <= n else x for x in centred]
    squares = np.vdot(*short) if a.shape[1] <= n else ((short[0] @ short[1].T) ** 2).sum()
    return mean, float(squares) / (n - 1)


@dataclass(frozen=True)
class Centred:
    """What a symmetric matrix (n, n) with zero row sums is known by: `trace`, `squared` = Σ A_ij², `diagonal` =
    Σ A_ii²."""

    trace: float
    squared: float
    diagonal: float
    n: int

    @classmethod
    def of(cls, a: np.ndarray) -> Centred:
        """Of the matrix itself, (n, n). O(n²)."""
        d = np.diag(a)
        return cls(float(d.sum()), float(np.vdot(a, a)), float(d @ d), len(a))

    @classmethod
    def of_projection(cls, basis: np.ndarray) -> Centred:
        """Of Q Qᵀ for orthonormal centred columns Q (n, r). O(n r)."""
        leverage = np.einsum("ij,ij->i", basis, basis)
        r = float(basis.shape[1])
        return cls(r, r, float(leverage @ leverage), len(basis))


@dataclass(frozen=True)
class Hollow:
    """What a symmetric matrix (n, n) with zero diagonal is known by: `mean` of the other entries, `rows` (n,) effects
    r with sum 0, `rest` = Σ u_ij²."""

    mean: float
    rows: np.ndarray
    rest: float

    @classmethod
    def of(cls, a: np.ndarray) -> Hollow:
        """Of the matrix itself; its diagonal is not looked at. O(n²)."""
        n = len(a)
        d = np.diag(a)
        sums = a.sum(axis=1) - d
        squared = float(np.vdot(a, a)) - float(d @ d)
        return cls.of_sums(sums, squared, n)

    @classmethod
    def of_sums(cls, sums: np.ndarray, squared: float, n: int) -> Hollow:
        """From the row sums (n,) and the sum of all squares."""
        mean = float(sums.sum()) / (n * (n - 1))
        rows = (sums - (n - 1) * mean) / (n - 2)
        rest = squared - n * (n - 1) * mean**2 - 2 * (n - 2) * float(rows @ rows)
        return cls(mean, rows, max(rest, 0.0))

    @property
    def n(self) -> int:
        return len(self.rows)


def centred_moments(one: Centred, other: Centred) -> tuple[float, float]:
    """Mean and variance of Σ A_ij B_π(i)π(j) over all exchanges π."""
    n = one.n
    mean = one.trace * other.trace / (n - 1)
    even = [2 * ((n - 1) * m.squared - m.trace**2) for m in (one, other)]
    odd = [n * (n + 1) * m.diagonal - (n - 1) * (m.trace**2 + 2 * m.squared) for m in (one, other)]
    variance = even[0] * even[1] / (2 * (n - 1) ** 2 * (n + 1) * (n - 2))
    variance += odd[0] * odd[1] / ((n + 1) * n * (n - 1) * (n - 2) * (n - 3))
    return mean, max(variance, 0.0)


def hollow_moments(one: Hollow, other: Hollow) -> tuple[float, float]:
    """Mean and variance of Σ_{i != j} A_ij B_π(i)π(j) over all exchanges π."""
    n = one.n
    mean = n * (n - 1) * one.mean * other.mean
    effects = float(one.rows @ one.rows) * float(other.rows @ other.rows) / (n - 1)
    return mean, 4 * (n - 2) ** 2 * effects + 2 * one.rest * other.rest / (n * (n - 3))


def cantelli_p(value, mean, deviation) -> np.ndarray:
    """Upper bound of the chance of a value this far above the mean; 1 at or below it. Shapes broadcast."""
    above = np.maximum(np.asarray(value, dtype=np.float64) - mean, 0.0)
    variance = np.broadcast_to(np.square(np.asarray(deviation, dtype=np.float64)), above.shape)
    with np.errstate(invalid="ignore"):
        return np.where(above > 0, variance / (variance + above**2), 1.0)
