"""Dimensions of two sides of the same samples, read on the same halves, and of Gaussians like them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analysis.compute.neighbours.dimension_estimators import apart
from analysis.compute.neighbours.dimension_readings import (
    COVARIANCE,
    MLE,
    TWO_NN,
    Readings,
    decimated,
    gaussian_like,
)
from analysis.spec import Progress

DRAWS = 3


def both_sides(
    sides: Mapping[str, np.ndarray], k: int, rng: np.random.Generator, progress: Progress
) -> tuple[dict[str, Readings], dict[str, dict[str, np.ndarray]]]:
    """Readings of each side (n, d) of the same samples, and {side: {estimator: (draws, m)}} of Gaussians of the same
    covariance. `k` neighbours for the MLE."""
    seed, read, null = int(rng.integers(2**31)), {}, {}
    for i, (side, x) in enumerate(sides.items()):
        owner, at = np.arange(len(x)), 0.3 + 0.27 * i
        x = apart(x, owner, 1).points
        same = np.random.default_rng(seed)  # the same halves for both
        read[side] = decimated(x, owner, k, same, tree=False, progress=progress, span=(at, at + 0.2))
        draws = []
        for j in range(DRAWS):
            drawn, span = gaussian_like(x, COVARIANCE, rng), (at + 0.2 + 0.02 * j, at + 0.22 + 0.02 * j)
            draws.append(
                decimated(drawn, owner, k, rng, tree=False, intervals=False, progress=progress, span=span)
            )
        null[side] = {e: np.array([r.values[e] for r in draws]) for e in (TWO_NN, MLE)}
    return read, null
