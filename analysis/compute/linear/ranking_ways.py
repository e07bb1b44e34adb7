"""The ways an axis that ranks samples by a number is made: of two samples, of groups, by regression."""

from __future__ import annotations

import numpy as np

from analysis.compute.linear.ranking_axes import difference_axis, ends, halves, least_squares_axis, ridge_axis
from analysis.compute.linear.softmax_regression import softmax_fit

PAIRS, END, ENDS = 20, 0.05, 50
TWO, GROUPS, EXTREMES = "two samples", "two groups", "extremes"
LEAST, RIDGE, PROBE = "least squares", "ridge", "logistic probe"


def axes_by_way(
    x: np.ndarray, y: np.ndarray, train: np.ndarray, clicked: np.ndarray | None, rng: np.random.Generator
) -> dict[str, tuple[np.ndarray, int]]:
    """By name, of the samples `train` (n,) bool of `x` (n, d) with values `y` (n,): axes (a, d), more than one for the
    pairs, and how many labels they took. `clicked` (d,) is that of two samples, in place of the pairs."""
    own, of = x[train], y[train]
    low, high = halves(of)
    m = min(ENDS, len(of) // 4)
    if clicked is not None:
        pairs = clicked[None]
    else:
        few = max(1, round(END * len(of)))
        bottom, top = ends(of, few)
        pairs = own[rng.choice(top, PAIRS)] - own[rng.choice(bottom, PAIRS)]
    bottom, top = ends(of, m)
    scale = np.sqrt(own.var(axis=0).mean())
    weights = softmax_fit((own - own.mean(axis=0)) / scale, high.astype(np.int64), 2, 1e-2).weights
    return {
        TWO: (pairs, 2),
        GROUPS: (difference_axis(own, high, low)[None], int(low.sum() + high.sum())),
        f"{m} + {m} {EXTREMES}": (difference_axis(own, top, bottom)[None], 2 * m),
        LEAST: (least_squares_axis(own, of)[None], len(of)),
        RIDGE: (ridge_axis(own, of)[None], len(of)),
        PROBE: ((weights[:, 1] - weights[:, 0])[None], len(of)),
    }
