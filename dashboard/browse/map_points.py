"""The points of a map as they lie in the data: what a measurement of the picture compares it with."""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations
from analysis.compute.rows.points import point_set
from analysis.results import Scatter


def pairs(result: Scatter, activations: Activations) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(data (n, d) float64, places (n, 2 or 3), which points of the map (n,)): those that are finite in both.

    Reads the rows of the map: O(n d) time and memory, which is for the caller to look at first.
    """
    places = np.asarray(result.positions, np.float64)
    if result.of == "units":
        found = point_set(activations, "units")
        order = np.searchsorted(found.numbers(np.arange(found.points.shape[0])), np.asarray(result.rows))
        data = np.asarray(found.points.take(order), np.float64)
    else:
        data = np.asarray(activations.take(np.asarray(result.rows)), np.float64)
    good = np.flatnonzero(np.isfinite(data).all(axis=1) & np.isfinite(places).all(axis=1))
    return data[good], places[good], good
