"""Mergeable float64 moments: mean and covariance, cross-covariance, and per-unit moments up to the fourth.

Each class is partial → merge → finish: `of` makes a partial from a block, centred inside the block, `merge`
joins two (Chan, Golub & LeVeque 1983; Pébay 2008 for third and fourth powers). The same numbers come out over
chunks, threads, processes and machines, up to rounding. Squaring before centring in float32 is off by 66 %
when a unit's mean is 1,000 times its deviation; here it is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.streaming import Pass, finite_blocks
from analysis.spec import Progress, no_progress


@dataclass(frozen=True)
class Moments:
    """`n` rows, their `mean` (d,) and `scatter` (d, d), the sum of centred outer products."""

    n: int
    mean: np.ndarray
    scatter: np.ndarray

    @staticmethod
    def of(block: np.ndarray) -> Moments:
        """Moments of a block (m, d), m >= 1. Time O(m d²), memory O(m d + d²)."""
        block = np.asarray(block, dtype=np.float64)
        mean = block.mean(axis=0)
        centred = block - mean
        return Moments(len(block), mean, centred.T @ centred)

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets of rows. Time and memory O(d²)."""
        n = self.n + other.n
        delta = other.mean - self.mean
        weight = self.n * other.n / n
        scatter = self.scatter + other.scatter
        scatter += np.outer(delta * weight, delta)
        return Moments(n, self.mean + delta * (other.n / n), scatter)

    @property
    def covariance(self) -> np.ndarray:
        """(d, d), divided by n - 1."""
        return self.scatter / max(self.n - 1, 1)

    @property
    def variance(self) -> np.ndarray:
        """(d,), divided by n - 1."""
        return np.diag(self.scatter) / max(self.n - 1, 1)

    def varies(self) -> np.ndarray:
        """Boolean (d,): units whose variance is above the rounding error of their mean."""
        return is_varying(self.variance, self.mean)

    def correlation(self) -> np.ndarray:
        """(d, d) Pearson correlation; exactly 1 on the diagonal, 0 in rows and columns of constant units."""
        varies = self.varies()
        scale = np.where(varies, 1.0 / np.sqrt(np.where(varies, np.diag(self.scatter), 1.0)), 0.0)
        r = self.scatter * scale * scale[:, None]
        np.clip(r, -1.0, 1.0, out=r)
        np.fill_diagonal(r, 1.0)
        return r


@dataclass(frozen=True)
class CrossMoments:
    """`n` rows of two taps: `mean_x` (p,), `mean_y` (q,) and `cross` (p, q), the sum of centred products."""

    n: int
    mean_x: np.ndarray
    mean_y: np.ndarray
    cross: np.ndarray

    @staticmethod
    def of(x: np.ndarray, y: np.ndarray) -> CrossMoments:
        """Of two blocks with the same rows, (m, p) and (m, q). Time O(m p q)."""
        x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
        return CrossMoments(len(x), mean_x, mean_y, (x - mean_x).T @ (y - mean_y))

    def merge(self, other: CrossMoments) -> CrossMoments:
        """The moments of both sets of rows. Time O(p q)."""
        n = self.n + other.n
        dx, dy = other.mean_x - self.mean_x, other.mean_y - self.mean_y
        cross = self.cross + other.cross
        cross += np.outer(dx * (self.n * other.n / n), dy)
        share = other.n / n
        return CrossMoments(n, self.mean_x + dx * share, self.mean_y + dy * share, cross)


@dataclass(frozen=True)
class UnitMoments:
    """Per unit, all (d,): `mean`, central sums `m2`, `m3`, `m4`, `minimum`, `maximum`, sum of magnitudes
    `absolute`, and how many rows were `positive` and `nonzero`; `n` rows."""

    n: int
    mean: np.ndarray
    m2: np.ndarray
    m3: np.ndarray
    m4: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    absolute: np.ndarray
    positive: np.ndarray
    nonzero: np.ndarray

    @staticmethod
    def of(block: np.ndarray) -> UnitMoments:
        """Of a block (m, d). Time O(m d)."""
        block = np.asarray(block, dtype=np.float64)
        mean = block.mean(axis=0)
        c = block - mean
        c2 = c * c
        return UnitMoments(
            len(block), mean, c2.sum(axis=0), (c2 * c).sum(axis=0), (c2 * c2).sum(axis=0),
            block.min(axis=0), block.max(axis=0), np.abs(block).sum(axis=0),
            (block > 0).sum(axis=0), (block != 0).sum(axis=0),
        )  # fmt: skip

    def merge(self, other: UnitMoments) -> UnitMoments:
        """The moments of both sets of rows (Pébay 2008, equations 2.1 and 3.1). Time O(d)."""
        a, b = self, other
        n = a.n + b.n
        d = b.mean - a.mean
        w = a.n * b.n / n
        m2 = a.m2 + b.m2 + d**2 * w
        m3 = a.m3 + b.m3 + d**3 * w * (a.n - b.n) / n + 3 * d * (a.n * b.m2 - b.n * a.m2) / n
        m4 = (
            a.m4 + b.m4 + d**4 * w * (a.n**2 - a.n * b.n + b.n**2) / n**2
            + 6 * d**2 * (a.n**2 * b.m2 + b.n**2 * a.m2) / n**2
            + 4 * d * (a.n * b.m3 - b.n * a.m3) / n
        )  # fmt: skip
        return UnitMoments(
            n, a.mean + d * (b.n / n), m2, m3, m4,
            np.minimum(a.minimum, b.minimum), np.maximum(a.maximum, b.maximum),
            a.absolute + b.absolute, a.positive + b.positive, a.nonzero + b.nonzero,
        )  # fmt: skip

    @property
    def variance(self) -> np.ndarray:
        """(d,), divided by n - 1."""
        return self.m2 / max(self.n - 1, 1)

    def varies(self) -> np.ndarray:
        """Boolean (d,): units that take more than one value."""
        return (self.maximum > self.minimum) & is_varying(self.variance, self.mean)


def is_varying(variance: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Boolean, same shape: is the variance more than float64 rounding leaves of a constant?"""
    return variance > 1e-26 * mean**2 + np.finfo(np.float64).tiny


def moments_of(
    activations: Activations,
    seen: Pass | None = None,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
    units: np.ndarray | None = None,
) -> Moments | None:
    """Moments of the finite rows in one pass; None when there is none. Time O(n d²), memory O(d²)."""
    total = None
    for _, block in finite_blocks(activations, seen, progress, "measuring covariance", span, units):
        part = Moments.of(block)
        total = part if total is None else total.merge(part)
    return total


def unit_moments_of(
    activations: Activations,
    seen: Pass | None = None,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> UnitMoments | None:
    """Per-unit moments of the finite rows in one pass; None when there is none. Time O(n d)."""
    total = None
    for _, block in finite_blocks(activations, seen, progress, "measuring units", span):
        part = UnitMoments.of(block)
        total = part if total is None else total.merge(part)
    return total
