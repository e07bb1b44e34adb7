"""Each sample beside another one, all in one ring at random: pairs that say what samples have in common anyway.

Neighbouring pairs share a sample, so that their values go together. Of values e_i (less their mean) of the pairs
(i, p(i))

    var(mean) = ( Σ e_i² + 2 Σ e_i e_p(i) ) / (n (n - 3)) ,   never below its first term

where n - 3 takes off the mean's part in both sums when values are sums over the two samples.

Reference: M. Fafchamps & F. Gubert (2007), "The formation of risk sharing networks" (errors of pairs that share one).
"""

from __future__ import annotations

import numpy as np
from scipy.special import stdtr, stdtrit


def ring_partners(n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) the other sample beside each of n, two or more; in a store sorted by class the next one is of the same."""
    order, partner = rng.permutation(n), np.empty(n, np.int64)
    partner[order] = np.roll(order, 1)
    return partner


def ring_interval(
    values: np.ndarray, partner: np.ndarray, least: float = -np.inf, most: float = np.inf
) -> dict:
    """95 % interval of the mean of `values` (n,), one for each sample and its partner, as an `Estimate` takes it; NaN
    is left out, and of fewer than four others there is none."""
    mean, error, n = _mean_and_error(values, partner)
    if n < 4:
        return {}
    half = float(stdtrit(n - 1, 0.975) * error)
    return {
        "low": max(mean - half, least), "high": min(mean + half, most),
        "interval": "Student's t over pairs, neighbours that share a sample together",
    }  # fmt: skip


def ring_p(values: np.ndarray, partner: np.ndarray) -> float:
    """Chance of a mean at least as large where it is 0, by the same t; 1 of fewer than four values."""
    mean, error, n = _mean_and_error(values, partner)
    if n < 4 or mean <= 0:
        return 1.0
    return float(stdtr(n - 1, -mean / error)) if error > 0 else 0.0


def _mean_and_error(values: np.ndarray, partner: np.ndarray) -> tuple[float, float, int]:
    good = np.isfinite(values)
    n = int(good.sum())
    if n < 4:
        return float("nan"), float("nan"), n
    mean = float(values[good].mean())
    apart = np.where(good, values - mean, 0.0)
    own, shared = float((apart**2).sum()), float((apart * apart[partner]).sum())
    return mean, float(np.sqrt(max(own + 2 * shared, own) / (n * (n - 3)))), n
