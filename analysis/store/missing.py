"""Where values are missing, in the correlation sketch: centring a unit needs the sketch of 1 over its own rows."""

from __future__ import annotations

import numpy as np


def add_missing(
    missing: np.ndarray,
    block: np.ndarray,
    units: np.ndarray,
    weight: np.ndarray,
    place: np.ndarray,
    buckets: int,
) -> np.ndarray:
    """Add the rows of `block` (units, rows) that are not finite in `units` (k,) to `missing`, and return it.

    missing : (0, 0) until a value was missing anywhere, then (units, buckets + 1) float32: the sketch of 1 over the
    missing rows, and the sum of 1 / tokens over them. weight, place : (rows,) of the sketch. O(k rows).
    """
    if len(units) and not missing.size:
        missing = np.zeros((len(block), buckets + 1), np.float32)
    for u in units:
        rows = np.flatnonzero(~np.isfinite(block[u]))
        missing[u, :-1] += np.bincount(place[rows], weight[rows], buckets)
        missing[u, -1] += np.abs(weight[rows]).sum()
    return missing


def merged(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Both together; either may be (0, 0)."""
    if a.size and b.size:
        return a + b
    return (a if a.size else b).copy()
