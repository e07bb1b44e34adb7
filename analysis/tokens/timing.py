"""How long passes take beside each other on a machine that does other things, too.

Passes are timed in turn, the whole network before every one with fewer tokens, and only ratios of neighbours are used:
what slows the machine for a while slows both. The median of the ratios has the interval of order statistics,

    [r_(j), r_(n + 1 - j)],    j the largest with P(Binomial(n, 1/2) < j) ≤ 0.025,

which needs no shape of noise; of five repeats or fewer it is the whole range, and covers less than 95 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr


@dataclass(frozen=True)
class Timed:
    """`value` the median, with [low, high] and what it is called, covering `level`."""

    value: float
    low: float
    high: float
    level: float

    @property
    def interval(self) -> str:
        return "order statistics of the repeats" if self.level >= 0.95 else "range of the repeats"


def median_of(values: np.ndarray) -> Timed:
    """The median of independent repeats."""
    x, n = np.sort(np.asarray(values, np.float64)), len(values)
    j = 1
    while j + 1 <= (n + 1) // 2 and 2 * bdtr(j, n, 0.5) <= 0.05:
        j += 1
    return Timed(float(np.median(x)), float(x[j - 1]), float(x[n - j]), float(1 - 2 * bdtr(j - 1, n, 0.5)))


def noise_of(values: np.ndarray) -> float:
    """Half the range of the middle half of repeats of the same thing, over their median."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return float((high - low) / 2 / middle) if middle > 0 else 0.0
