"""Many tests at once: the Benjamini–Hochberg false-discovery rate (1995), Holm's family-wise p (1979), and Šidák's
(1967) bounds for the largest of many: its p-value, and the half-width with which all of many intervals hold
together."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri


def benjamini_hochberg(p: np.ndarray, tests: int | None = None) -> np.ndarray:
    """False-discovery-adjusted q-values, same shape as `p`.

    q of the i-th smallest p is min over j >= i of p_(j) m / j. Ties share one q. NaN stays NaN and does not
    count as a test.

    Parameters
    ----------
    p : array of p-values in [0, 1], NaN allowed.
    tests : int, optional
        The number of tests made when only the smallest p-values are given; the q-values are then upper bounds.
    """
    p = np.asarray(p, dtype=np.float64)
    q = np.full(p.shape, np.nan)
    known = np.isfinite(p)
    values = p[known]
    if not len(values):
        return q
    m = len(values) if tests is None else max(tests, len(values))
    order = np.argsort(values, kind="stable")
    scaled = values[order] * m / np.arange(1, len(values) + 1)
    falling = np.minimum.accumulate(scaled[::-1])[::-1]
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(falling, 1.0)
    q[known] = adjusted
    return q


def holm(p: np.ndarray) -> np.ndarray:
    """Family-wise adjusted p-values (k,), whatever hangs on what (S. Holm 1979): of the i-th smallest the largest of
    p_(j) (k - j + 1) over j <= i, at most 1."""
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    rising = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    out = np.empty_like(p)
    out[order] = np.minimum(rising, 1.0)
    return out


def sidak(p: np.ndarray, tests: int) -> np.ndarray:
    """p-value of the smallest of `tests` independent p-values: 1 - (1 - p)^tests, exact for tiny p."""
    return -np.expm1(tests * np.log1p(-np.minimum(np.asarray(p, dtype=np.float64), 1 - 1e-16)))


def simultaneous_z(tests: int, level: float = 0.95) -> float:
    """Half-width, in standard errors, with which all of `tests` independent intervals hold together at `level`
    (at least so often under any dependence of normal estimates: Šidák 1967).

    The interval of whichever of them turned out largest then holds too; 1.96 for one test. Exact for many tests.
    """
    return float(-ndtri(-np.expm1(np.log(level) / tests) / 2))
