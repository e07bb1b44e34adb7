"""Points of the same shape as a cloud's, in which no unit knows of another."""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations
from analysis.compute.rows.cloud import Cloud
from analysis.compute.rows.points import correlation_coordinates
from analysis.compute.statistics.nulls import gaussian_correlation, moved_samples

MOVED = {
    "rows": "each unit's values moved to other samples",
    "units": "correlations of independent Gaussian units",
}


def shuffled_points(cloud: Cloud, activations: Activations, of: str, rng: np.random.Generator) -> np.ndarray:
    """Points (n, d') float64 without structure.

    Rows: every unit keeps its values, but for other samples; the tokens of a sample stay together (`moved_samples`).
    Units: placed by the correlations of as many independent units over as many samples; a shuffled correlation has
    the same variance, 1 / (samples - 1), whatever the units' distributions. O(n d), for units O(d³).
    """
    if of == "rows":
        offsets = np.searchsorted(cloud.sample, np.arange(cloud.n_samples + 1))
        return moved_samples(cloud.x, rng, offsets)
    n = activations.layout.n_samples
    n = n if n > 1 else activations.shape[0]
    return correlation_coordinates(gaussian_correlation(len(cloud.x), n, rng))
