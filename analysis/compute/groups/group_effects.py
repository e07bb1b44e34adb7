"""Groups of samples against all others, unit by unit: Hedges' g, Welch's test, and a test of being alike.

g = J (m1 - m0) / s, s the pooled deviation, J = 1 - 3 / (4 n - 9), standard error
sqrt(n / (n1 n0) + g² / (2 n)) (Hedges & Olkin 1985). Alike within a margin δ: two one-sided tests (Schuirmann 1987),
p = P(T < (|g| - δ) / error) with n - 2 degrees of freedom; it is small only where g is *shown* to be inside ±δ, which
a large p of Welch's test never shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from analysis.compute.groups.group_sums import SMALLEST
from analysis.compute.statistics.moments import is_varying


@dataclass(frozen=True)
class GroupEffects:
    """All (k, d): Hedges' `g`, its `error`, Welch's two-sided `p`, the means `inside` and `outside`; `varies` (d,);
    n samples. A unit that does not vary has g = 0 and p = 1."""

    g: np.ndarray
    error: np.ndarray
    p: np.ndarray
    inside: np.ndarray
    outside: np.ndarray
    varies: np.ndarray
    n: int

    def alike_p(self, margin: float) -> np.ndarray:
        """(k, d) p-value of a difference of at least `margin` deviations; 1 for units that do not vary."""
        p = stdtr(self.n - 2, (np.abs(self.g) - margin) / self.error)
        return np.where(self.varies, p, 1.0)


def group_effects(x: np.ndarray, members: np.ndarray) -> GroupEffects:
    """Each group of `members` (k, n) bool against the other rows of `x` (n, d); two rows or more on either side.

    A deviation below a millionth of the unit's spread counts as that: a unit that a group determines wholly has a huge
    but finite effect. Time O(k n d), memory O(n d).
    """
    n, mean = len(x), x.mean(axis=0)
    centred = x - mean
    squares = centred**2
    total = squares.sum(axis=0)
    varies = is_varying(total / (n - 1), mean)
    m = members.sum(axis=1).astype(np.float64)[:, None]
    onehot = members.astype(np.float64)
    sums, powers = onehot @ centred, onehot @ squares
    here, there = sums / m, -sums / (n - m)  # centred: the others sum to minus the group
    floor = np.where(varies, SMALLEST**2 * total / (n - 1), 1.0)
    v1 = np.maximum((powers / m - here**2) * m / (m - 1), floor)
    v0 = np.maximum(((total - powers) / (n - m) - there**2) * (n - m) / (n - m - 1), floor)
    pooled = np.sqrt(((m - 1) * v1 + (n - m - 1) * v0) / (n - 2))
    g = np.where(varies, (1 - 3 / (4 * n - 9)) * (here - there) / pooled, 0.0)
    a, b = v1 / m, v0 / (n - m)
    freedom = (a + b) ** 2 / (a**2 / (m - 1) + b**2 / (n - m - 1))
    p = np.minimum(2 * stdtr(freedom, -np.abs(here - there) / np.sqrt(a + b)), 1.0)
    error = np.sqrt(n / (m * (n - m)) + g**2 / (2 * n))
    return GroupEffects(g, error, np.where(varies, p, 1.0), here + mean, there + mean, varies, n)
