"""Do synthetic points lie where real ones do, and everywhere they do? Shares by balls around nearest neighbours.

    ball of a point     up to its k-th nearest neighbour among its own sort
    coverage            share of real balls with a synthetic point in them
    density             real balls that a synthetic point is in, over k, on average
    precision           share of synthetic points that are in some real ball
    recall              share of real points that are in some synthetic ball

References: T. Kynkäänniemi et al. (2019) for precision and recall; M. Naeem et al. (2020) for density and coverage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BLOCK = 4096


@dataclass(frozen=True)
class Balls:
    """Of n real and m synthetic points: `covered` (n,) bool, `inside` (m,) real balls that hold it over k, `precise`
    (m,) bool, `recalled` (n,) bool; k is at most one less than the smaller of both."""

    covered: np.ndarray
    inside: np.ndarray
    precise: np.ndarray
    recalled: np.ndarray

    @property
    def numbers(self) -> np.ndarray:
        """Coverage, density, precision, recall."""
        return np.array([x.mean() for x in (self.covered, self.inside, self.precise, self.recalled)])


def balls_of(real: np.ndarray, synthetic: np.ndarray, k: int) -> Balls:
    """Of `real` (n, d) and `synthetic` (m, d), two points of each or more. O((n + m)² d), memory O((n + m)²)."""
    middle = real.mean(axis=0)
    real, synthetic = real - middle, synthetic - middle
    between = distances(real, synthetic)
    k_real, k_synthetic = (min(k, len(x) - 1) for x in (real, synthetic))
    in_real = between <= radii(real, k_real)[:, None]
    in_synthetic = between <= radii(synthetic, k_synthetic)
    return Balls(
        in_real.any(axis=1), in_real.sum(axis=0) / k_real, in_real.any(axis=0), in_synthetic.any(axis=1)
    )


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) squared distances; those of equal points are exactly 0."""
    found = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    near = found <= 1e-9 * ((a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1))
    i, j = np.nonzero(near)
    for start in range(0, len(i), BLOCK):  # what is lost by cancelling
        at, to = i[start : start + BLOCK], j[start : start + BLOCK]
        found[at, to] = ((a[at] - b[to]) ** 2).sum(axis=1)
    return np.maximum(found, 0.0)


def radii(x: np.ndarray, k: int) -> np.ndarray:
    """(n,) squared distance of each point to its k-th nearest other one."""
    own = distances(x, x)
    np.fill_diagonal(own, np.inf)
    return np.partition(own, k - 1, axis=1)[:, k - 1]
