"""The units that fire most in a cluster: mean inside minus mean outside, in deviations, with false-discovery control.

Hedges' g and Welch's t of every unit, Benjamini and Hochberg's q over units and clusters together. Each sample counts
once inside and once outside, with the mean of its rows there. The clusters were made from these very units, so that
some must differ: g ranks the units and names the cluster, q is no evidence that the cluster exists.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from analysis.compute.statistics.multiple_testing import benjamini_hochberg


@dataclass(frozen=True)
class UnitDifferences:
    """`g` and `q` (k, d) of each cluster and unit; 0 and 1 where a side has fewer than two samples."""

    g: np.ndarray
    q: np.ndarray


def unit_differences(x: np.ndarray, codes: np.ndarray, owners: np.ndarray, k: int) -> UnitDifferences:
    """`x` (n, d) finite rows, `codes` (n,) their clusters (-1: none, outside of all), `owners` (n,) their samples.
    O(k n d) time, O(n d) memory."""
    samples, owner = np.unique(owners, return_inverse=True)
    x = np.asarray(x, np.float64)
    x = x / np.ldexp(
        1.0, int(np.frexp(np.abs(x).max(initial=0.0))[1])
    )  # squares must not overflow; g has no unit
    x -= x.mean(axis=0)
    sums = _by(owner, x, len(samples))
    counts = np.bincount(owner, minlength=len(samples))
    g, p = np.zeros((k, x.shape[1])), np.ones((k, x.shape[1]))
    whole = np.sqrt((x**2).mean(axis=0))
    for c in range(k):
        mine = codes == c
        n = np.bincount(owner[mine], minlength=len(samples))
        inner = _by(owner[mine], x[mine], len(samples))
        inside = inner[n > 0] / n[n > 0, None]
        left = counts - n
        outside = (sums - inner)[left > 0] / left[left > 0, None]
        if min(len(inside), len(outside)) >= 2:
            g[c], p[c] = _compare(inside, outside, whole)
    return UnitDifferences(g, benjamini_hochberg(p))


def _by(owner: np.ndarray, x: np.ndarray, n: int) -> np.ndarray:
    """Sums (n, d) of the rows of each owner."""
    out = np.zeros((n, x.shape[1]))
    if not len(owner):
        return out
    order = np.argsort(owner, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(owner[order]) != 0])
    out[owner[order][starts]] = np.add.reduceat(x[order], starts, axis=0)
    return out


def _compare(inside: np.ndarray, outside: np.ndarray, whole: np.ndarray):
    """Hedges' g and Welch's two-sided p, (d,) each. A deviation below a millionth of the unit's spread counts as
    that; a unit that does not vary has g = 0 and p = 1."""
    a, b = len(inside), len(outside)
    varies = whole > 0
    floor = np.where(varies, whole * 1e-6, 1.0)
    shift = inside.mean(axis=0) - outside.mean(axis=0)
    va, vb = (np.maximum(v.var(axis=0, ddof=1), floor**2) for v in (inside, outside))
    pooled = np.sqrt(((a - 1) * va + (b - 1) * vb) / (a + b - 2))
    small = 1 - 3 / (4 * (a + b) - 9)
    ea, eb = va / a, vb / b
    t = shift / np.sqrt(ea + eb)
    freedom = (ea + eb) ** 2 / (ea**2 / (a - 1) + eb**2 / (b - 1))
    p = np.minimum(2 * stdtr(freedom, -np.abs(t)), 1.0)
    return np.where(varies, small * shift / pooled, 0.0), np.where(varies, p, 1.0)
