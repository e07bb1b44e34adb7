"""How many of several means lie above what chance gives, with the share of false ones among them held at 5 %.

p of each by Student's t (one-sided), of all together by Benjamini and Hochberg.
"""

from __future__ import annotations

import numpy as np
from scipy.special import stdtr

from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import wilson
from analysis.results import Estimate

FALSE = 0.05
Q_HELP = "False-discovery rate at which it counts as more than by chance, of all lines together."


def above_zero(mean: np.ndarray, error: np.ndarray, freedom: int) -> np.ndarray:
    """(m,) one-sided p-values of means with these standard errors; 1 where nothing varies about a mean of 0."""
    t = np.divide(mean, error, out=np.where(mean > 0, np.inf, -np.inf), where=error > 0)
    return stdtr(freedom, -t)


def discoveries(q: np.ndarray, what: str, chance: str, d: int) -> Estimate:
    """The share of q-values (m,) within the false-discovery rate, as an `Estimate`; `what` they are, `chance` what they
    are held against."""
    m = len(q)
    passed = int((q <= FALSE).sum())
    share = passed / max(m, 1)
    low, high = wilson(passed, max(m, 1))
    return Estimate(f"{what} beyond chance", share, min(low, share), max(high, share), interval=f"Wilson over {what}",
                    null=0.0, null_method=f"{chance}; in 95 % of such cases not one passes, and of those that pass at "
                    "most 5 % are false on average",
                    n=m, d=d, estimator="false-discovery rate 5 % (Benjamini-Hochberg)")  # fmt: skip


def q_above_zero(mean: np.ndarray, error: np.ndarray, freedom: int) -> np.ndarray:
    """(m,) q-values of `above_zero`."""
    return benjamini_hochberg(above_zero(mean, error, freedom))
