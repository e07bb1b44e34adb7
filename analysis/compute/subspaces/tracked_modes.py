"""Principal modes of one set of samples through a series of checkpoints, followed by what they look like.

A mode is an eigenvalue λ of the covariance with its pattern over the samples, the unit vector u (n,) of scores. Such
patterns can be compared between checkpoints whatever the units are, their number, or how the network has rotated them.
From the last checkpoint backwards each mode is given to the mode before it with the largest overlap (uᵀu')², one to one
(a linear assignment), so that eigenvalues that cross keep their names; counted by size they would seem to jump.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from analysis.compute.linear.linalg import principal_components
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.errors import NotEnoughData

CANDIDATES = 4  # times the modes asked for: how far down the spectrum a mode is looked for
LEVEL = 0.05


@dataclass(frozen=True)
class Modes:
    """Of one checkpoint: all `eigenvalues` (r,), falling; `patterns` (n, c) of the leading ones, orthonormal."""

    eigenvalues: np.ndarray
    patterns: np.ndarray


@dataclass(frozen=True)
class Tracked:
    """`eigenvalues` (S, k) of k modes, largest at the last of S checkpoints first; `patterns` (S, n, k), signs aligned;
    `overlaps` (S - 1, k) between neighbours."""

    eigenvalues: np.ndarray
    patterns: np.ndarray
    overlaps: np.ndarray

    def growth(self) -> np.ndarray:
        """(S - 1, k) of ln λ."""
        return np.diff(np.log(self.eigenvalues), axis=0)

    def growth_error(self) -> np.ndarray:
        """(S - 1, k) standard errors of the growth, for other samples: each sample's first-order contribution to ln λ
        is n u² - 1, and those of two checkpoints are subtracted sample by sample."""
        n = self.patterns.shape[1]
        change = n * np.diff(self.patterns**2, axis=0)
        return np.sqrt((change**2).sum(axis=1) / (n * (n - 1)))


def modes_of(x: np.ndarray, count: int) -> Modes:
    """Of samples `x` (n, d), with at most `CANDIDATES` times `count` patterns. O(n d min(n, d))."""
    size = float(np.abs(x).max()) or 1.0
    mean, directions, values = principal_components(x / size, min(x.shape))
    few = min(len(values), CANDIDATES * count)
    scores = (x / size - mean) @ directions[:few].T
    return Modes(values * size**2, scores / np.sqrt((scores**2).sum(axis=0)))


def tracked(series: Sequence[Modes], count: int) -> Tracked:
    """The `count` largest modes of the last checkpoint through all of them, fewer where a checkpoint has fewer.

    Time O(S n c²). Raises NotEnoughData where a checkpoint has no mode at all.
    """
    from scipy.optimize import linear_sum_assignment

    k = min(count, *(m.patterns.shape[1] for m in series))
    if k < 1:
        raise NotEnoughData(
            "a checkpoint without a direction that varies", "one at least", "Leave that checkpoint out"
        )
    last = series[-1]
    values, patterns, overlaps = [last.eigenvalues[:k]], [last.patterns[:, :k]], []
    for modes in series[-2::-1]:
        inner = modes.patterns.T @ patterns[-1]
        rows, columns = linear_sum_assignment(-(inner**2))
        mine = rows[np.argsort(columns)]
        kept = inner[mine, np.arange(k)]
        values.append(modes.eigenvalues[mine])
        patterns.append(modes.patterns[:, mine] * np.where(kept < 0, -1.0, 1.0))
        overlaps.append(kept**2)
    return Tracked(np.array(values[::-1]), np.array(patterns[::-1]), np.array(overlaps[::-1]).reshape(-1, k))


def halfway(x: np.ndarray, eigenvalues: np.ndarray) -> np.ndarray:
    """(k,) where in `x` (S,) each of the `eigenvalues` (S, k) last rises through half of its final value, between
    checkpoints on straight lines in ln λ; NaN where it never lies below half."""
    out = np.full(eigenvalues.shape[1], np.nan)
    for j, values in enumerate(eigenvalues.T):
        below = np.flatnonzero(values < values[-1] / 2)
        if len(below):
            i = below[-1]
            share = np.log(values[-1] / 2 / values[i]) / np.log(values[i + 1] / values[i])
            out[j] = x[i] + share * (x[i + 1] - x[i])
    return out


def jumps_of(film: Tracked) -> tuple[np.ndarray, np.ndarray]:
    """(S - 1, k) whether a mode jumps between two checkpoints: it at least doubles and grows more than twice as much as
    on average, beyond sampling error (Benjamini-Hochberg over all); and the p-values of growing no more than that."""
    growth, error = film.growth(), film.growth_error()
    even = np.maximum(growth.mean(axis=0), 0.0)
    beyond = growth - np.maximum(2.0 * even, np.log(2.0))
    p = ndtr(-beyond / np.maximum(error, 1e-12))
    return benjamini_hochberg(p.ravel()).reshape(p.shape) < LEVEL, p
