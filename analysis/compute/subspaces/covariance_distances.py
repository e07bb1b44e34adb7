"""Distances between covariances: subspaces of every dimension at once, each as firm as its gap is wide.

A covariance is a weighted flag, Σ = Σ_i (λ_i - λ_{i+1}) P_i with P_i the projection on the first i axes (λ_{d+1} = 0):
where two eigenvalues are equal the subspace between them has no weight, so nothing needs to be cut. Between covariances
A and B of one trace:

    Bures-Wasserstein   sqrt(tr A + tr B - 2 tr (A^½ B A^½)^½) = min over rotations Q of ‖A^½ - B^½ Q‖
    log-Euclidean       ‖log A - log B‖
    affine-invariant    ‖log A^-½ B A^-½‖: unchanged when both are seen through one invertible map

The first needs no full rank and is that of optimal transport between Gaussians; for A and B with the same axes it is
‖√λ - √μ‖. The other two are infinite where a direction has no variance.

References: X. Pennec (2006), "A Riemannian framework for tensor computing"; V. Arsigny et al. (2006), "Log-Euclidean
metrics"; R. Bhatia, T. Jain & Y. Lim (2019), "On the Bures-Wasserstein distance between positive definite matrices";
B. Buet & X. Pennec (2023), "Flagfolds".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigvalsh

BURES, LOG, AFFINE = "Bures-Wasserstein", "log-Euclidean", "affine-invariant"
NAMES = (BURES, LOG, AFFINE)
CLOSE = 1e-6  # of the trace: a squared difference below has lost its digits
EQUAL = 1e-9  # relative: eigenvalues that differ by less are one


@dataclass(frozen=True)
class Spread:
    """A covariance (d, d) of trace 1 with its eigenvalues falling (d,) and axes (d, d), columns."""

    matrix: np.ndarray
    values: np.ndarray
    axes: np.ndarray

    @classmethod
    def of(cls, covariance: np.ndarray) -> Spread:
        matrix = covariance / np.trace(covariance)
        values, axes = np.linalg.eigh(matrix)
        return cls(matrix, np.maximum(values[::-1], 0.0), axes[:, ::-1])

    @property
    def rank(self) -> int:
        return int((self.values > self.values[0] * len(self.values) * 10 * np.finfo(float).eps).sum())

    def mapped(self, function) -> np.ndarray:
        """The same axes with `function` of the eigenvalues."""
        return (self.axes * function(self.values)) @ self.axes.T

    def turned(self, q: np.ndarray) -> Spread:
        """By a rotation (d, d)."""
        axes = q @ self.axes
        return Spread((axes * self.values) @ axes.T, self.values, axes)


def flag(spread: Spread) -> list[tuple[int, float]]:
    """The flag of a covariance: dimensions k and the weights λ_k - λ_{k+1} > 0 of their projections, equal eigenvalues
    taken as one; Σ weight k = 1."""
    values = np.append(spread.values, 0.0)
    drops = values[:-1] - values[1:]
    return [(int(i) + 1, float(drops[i])) for i in np.flatnonzero(drops > EQUAL * values[0])]


def prepared(name: str, spread: Spread) -> np.ndarray:
    """What a distance needs of each covariance, once: its root, its logarithm, or itself."""
    if name == BURES:
        return spread.mapped(np.sqrt)
    return spread.mapped(np.log) if name == LOG else spread.matrix


def between(name: str, a: np.ndarray, b: np.ndarray) -> float:
    """The distance `name` of two `prepared` covariances. O(d³)."""
    if name == BURES:
        return _bures(a, b)
    if name == LOG:
        return float(np.linalg.norm(a - b))
    return float(np.sqrt((np.log(eigvalsh(b, a)) ** 2).sum()))


def _bures(a: np.ndarray, b: np.ndarray) -> float:
    """Of the roots: the trace formula, and where that cancels the rotation that brings one root nearest the other."""
    product = a @ b
    squares = np.maximum(np.linalg.eigvalsh(product @ product.T), 0.0)
    both = float(np.vdot(a, a) + np.vdot(b, b))
    squared = both - 2 * float(np.sqrt(squares).sum())
    if squared > CLOSE * both:
        return float(np.sqrt(squared))
    left, _, right = np.linalg.svd(b @ a)
    return float(np.linalg.norm(a - b @ left @ right))


def turned_at_random(name: str, a: Spread, b: Spread, draws: int, rng: np.random.Generator) -> np.ndarray:
    """(draws,) distances when the axes of `b` have nothing to do with those of `a`: `b` turned uniformly."""
    d, found = len(a.values), np.empty(draws)
    first = prepared(name, Spread(np.diag(a.values), a.values, np.eye(d)))
    for i in range(draws):
        q, r = np.linalg.qr(rng.standard_normal((d, d)))
        q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
        found[i] = between(name, first, prepared(name, Spread((q * b.values) @ q.T, b.values, q)))
    return found
