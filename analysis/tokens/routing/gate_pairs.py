"""A channel gate and a spatial gate of each sample: what they leave beside and after each other, and exchanged."""

from __future__ import annotations

import numpy as np


def each_pair(channel, spatial, weights):
    """Gates (C,) and (T,) of each sample, with squared inputs (T, C) or None."""
    return zip(channel, spatial, weights or [None] * len(channel), strict=True)


def compared(g: np.ndarray, s: np.ndarray, w: np.ndarray | None) -> tuple[float, float, float]:
    """(difference, left in parallel, left in sequence) of gates g (C,), s (T,) and squared inputs w (T, C)."""
    if w is None:
        w = np.ones((len(s), len(g)))
    both = s[:, None] + g[None], s[:, None] * g[None]
    beside, after, across = ((a * b * w).sum() for a, b in ((both[0],) * 2, (both[1],) * 2, both))
    left = float(np.sqrt(beside / w.sum())) / 2, float(np.sqrt(after / w.sum()))
    if not beside > 0:  # nothing is left either way
        return 0.0, *left
    return (max(1 - float(across / after) * float(across / beside), 0.0) if after > 0 else 1.0), *left


def exchanged_pairs(channel, spatial, weights, rng) -> np.ndarray:
    """(n,) differences with the spatial gate of another sample that has as many positions, NaN where none has."""
    length, out = np.array([len(s) for s in spatial]), np.full(len(channel), np.nan)
    other = np.arange(len(channel))
    for t in np.unique(length):
        order = rng.permutation(np.flatnonzero(length == t))
        other[order] = np.roll(order, 1)
    for i, (g, _, w) in enumerate(each_pair(channel, spatial, weights)):
        if other[i] != i:
            out[i] = compared(g, spatial[other[i]], w)[0]
    return out
