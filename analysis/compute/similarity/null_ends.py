"""Where most values of unrelated pairs lie, from the mean and the deviation of the null.

A normal band knows no bounds: that of a squared correlation reaches below 0. Where it does, the band is that of the
Beta distribution on the bounds with the same mean m and deviation s (both on the scale 0 to 1):

    a = m c,   b = (1 - m) c,   c = m (1 - m) / s² - 1

which is exact for one squared correlation. Where there is none (s² >= m (1 - m)), or a bound is infinite, the normal
band is cut at the bounds.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betaincinv, ndtri


def null_ends(
    mean: np.ndarray | float,
    deviation: np.ndarray | float,
    bounds: tuple[float, float],
    outside: float = 0.05,
) -> tuple[np.ndarray, np.ndarray]:
    """(low, high), of the shape of `mean` and `deviation`, between which all but `outside` of the values lie; NaN where
    either is. `bounds`: what the quantity cannot leave, infinite where it can."""
    mean, deviation = np.broadcast_arrays(np.asarray(mean, float), np.asarray(deviation, float))
    least, most = bounds
    reach = -ndtri(outside / 2) * deviation
    low, high = mean - reach, mean + reach
    leaves = (low < least) | (high > most)
    if not leaves.any():
        return low, high
    cut = np.clip(low, least, most), np.clip(high, least, most)
    if not np.isfinite(most - least):
        return cut
    m = np.clip((mean - least) / (most - least), 0.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        c = m * (1 - m) / (deviation / (most - least)) ** 2 - 1
        known = leaves & (c > 0) & np.isfinite(c)
        a, b = np.where(known, m * c, 1.0), np.where(known, (1 - m) * c, 1.0)
    ends = (least + (most - least) * betaincinv(a, b, q) for q in (outside / 2, 1 - outside / 2))
    return tuple(np.where(known, end, other) for end, other in zip(ends, cut, strict=True))
