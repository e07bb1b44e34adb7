"""p-values of many statistics from few exchanges of samples: each is measured by its own exchanged values, and these
distances are pooled.

The chance of a best-matched correlation as large as this depends on the unit (a heavy tail reaches farther), so units
cannot share one null as they are; and one unit's own D exchanges resolve no p-value below 1 / (D + 1). Distance from
one's own exchanged mean in one's own deviations, t = (x - m) / s, has much the same distribution for all: the
exchanged values, each measured by the *other* exchanges of its unit, are the null of all units together,

    p = (1 + #{null t >= t}) / (1 + D m)        for m statistics, D exchanges.

The null has one degree of freedom less than what it is compared with, so it is slightly the wider one. What units of
different shape of null add to one another remains: p is approximate for each unit, right on average over them.

Reference: B. Phipson & G. Smyth (2010) for the added one.
"""

from __future__ import annotations

import numpy as np

FEWEST = 5  # exchanges


def pooled_p(observed: np.ndarray, exchanged: np.ndarray) -> np.ndarray:
    """p-values, shape of `observed` (…), large values being unusual; `exchanged` (D, …), D of at least five.

    A statistic whose exchanged values are all equal is unusual (the smallest p) where it is above them, else p = 1.
    Time O(D m ln(D m)).
    """
    observed = np.asarray(observed, dtype=np.float64)
    x, null = observed.reshape(-1), np.asarray(exchanged, dtype=np.float64).reshape(len(exchanged), -1)
    middle, spread = null.mean(axis=0), null.std(axis=0, ddof=1)
    fixed = spread <= 1e-12 * np.maximum(np.abs(middle), 1e-300)
    t = np.where(fixed, 0.0, (x - middle) / np.where(fixed, 1.0, spread))
    pool = np.sort(_by_the_others(null - middle)[:, ~fixed].ravel())
    p = (1 + len(pool) - np.searchsorted(pool, t - 1e-12, side="left")) / (1 + len(pool))
    surprise = x > middle + 1e-9 * np.maximum(np.abs(middle), 1e-12)
    p = np.where(fixed, np.where(surprise, 1 / (1 + null.size), 1.0), p)
    return p.reshape(observed.shape)


def _by_the_others(centred: np.ndarray) -> np.ndarray:
    """Each of the values (D, m), centred by column, in deviations from the other D - 1 of its column."""
    d = len(centred)
    squares = (centred**2).sum(axis=0)
    mean = -centred / (d - 1)
    variance = (squares - centred**2 - (d - 1) * mean**2) / (d - 2)
    good = variance > 1e-12 * np.maximum(squares, 1e-300)
    return np.where(
        good, (centred - mean) / np.sqrt(np.where(good, variance, 1.0)), np.sign(centred - mean) * 1e3
    )
