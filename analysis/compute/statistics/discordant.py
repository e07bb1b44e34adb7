"""Several rules against one, on the same samples: gains in accuracy, tested by the samples that only one of two gets
right.

Of the samples that one rule classifies right and the other wrong, either is as likely where the rules are equally
good: an exact binomial test (McNemar 1947). Over several rules p-values are Holm's (1979).
"""

from __future__ import annotations

import numpy as np
from scipy.special import bdtr

from analysis.compute.statistics.paired_gain import paired_interval


def gains_over(right: dict[str, np.ndarray], against: str) -> dict[str, tuple[float, float, float, float]]:
    """Gain over the rule `against`, its 95 % interval (Newcombe's, of paired shares) and p, by name of the others,
    from which samples each gets `right` (n,) bool."""
    plain, out = right[against], {}
    for name, own in right.items():
        if name == against:
            continue
        change = own.astype(float) - plain
        low, high = paired_interval(plain, own)
        value = float(change.mean())
        better, worse = int((change > 0).sum()), int((change < 0).sum())
        p = min(1.0, 2 * float(bdtr(min(better, worse), better + worse, 0.5))) if better + worse else 1.0
        out[name] = (value, min(low, value), max(high, value), p)
    order = sorted(out, key=lambda name: out[name][3])
    running = 0.0
    for i, name in enumerate(order):
        running = max(running, min(1.0, (len(order) - i) * out[name][3]))
        out[name] = (*out[name][:3], running)
    return out
