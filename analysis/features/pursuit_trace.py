"""One row of activations taken apart, atom by atom: matching pursuit on the directions of any feature set.

Each step takes the direction d_j (of length 1) with the largest product with what is left, and takes its part away:

    |r_t|² = |r_t-1|² - (d_jᵀ r_t-1)²,      r_t ⟂ d_j

so that what is left never grows. Beside it the set's own code of the row, its features added in order of size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.features import rules
from analysis.features.feature_set import FeatureSet

TOLERANCE = 1e-9  # of the energy to explain, below which nothing is left to take apart


@dataclass(frozen=True)
class Trace:
    """`features` in the order taken, each one's `part` (its coefficient on a direction of length 1) and `left`, the
    share of the row's energy that is not explained after it."""

    features: np.ndarray
    part: np.ndarray
    left: np.ndarray


def pursuit_trace(features: FeatureSet, x: np.ndarray, steps: int) -> Trace:
    """Of one row `x` (d,): at most `steps` atoms, fewer where nothing is left. Only positive parts where codes are
    rectified. O(steps k d)."""
    wanted = features.to_explain(x[None])[0]
    atoms = features.directions.astype(np.float64)
    size = np.sqrt((atoms**2).sum(axis=1, keepdims=True))
    atoms /= np.where(size > 0, size, 1)
    total, left = float(wanted @ wanted), wanted.copy()
    found, parts, shares = [], [], []
    for _ in range(steps):
        products = atoms @ left
        best = int(np.argmax(np.abs(products) if features.rule == rules.LINEAR else products))
        if total <= 0 or products[best] ** 2 <= TOLERANCE * total or (
            products[best] <= 0 and features.rule != rules.LINEAR
        ):  # fmt: skip
            break
        left -= products[best] * atoms[best]
        found.append(best)
        parts.append(float(products[best]))
        shares.append(float(left @ left) / total)
    return Trace(np.array(found, np.int64), np.array(parts), np.array(shares))


def own_trace(features: FeatureSet, x: np.ndarray, steps: int) -> Trace:
    """The set's own code of the row, its largest contributions first. `left` may rise: a code need not be a pursuit."""
    code = features.encode(x[None])[0].astype(np.float64)
    part = code * features.lengths
    order = np.argsort(-np.abs(part), kind="stable")[: min(steps, int((part != 0).sum()))]
    left = features.to_explain(x[None])[0]
    total, shares = float(left @ left), []
    for j in order:
        left = left - code[j] * features.directions[j]
        shares.append(float(left @ left) / total if total > 0 else 0.0)
    return Trace(order, part[order], np.array(shares))
