"""The difference of the means of two independent groups of samples, with Welch's interval."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit


def welch_interval(a: np.ndarray, b: np.ndarray) -> dict:
    """95 % interval of mean a (n,) less mean b (m,), as an `Estimate` takes it: Student's t with the degrees of freedom
    of Welch and Satterthwaite; without an interval where a group has one sample."""
    if min(len(a), len(b)) < 2:
        return {"interval": "none: one sample of a group"}
    parts = np.array([x.var(ddof=1) / len(x) for x in (a, b)])
    error, sizes = float(np.sqrt(parts.sum())), np.array([len(a) - 1, len(b) - 1])
    freedom = parts.sum() ** 2 / (parts**2 / sizes).sum() if error > 0 else 1.0
    gap, half = float(a.mean() - b.mean()), float(stdtrit(freedom, 0.975)) * error
    return {"low": gap - half, "high": gap + half, "interval": "Welch's t over samples"}
