"""Two shapes compared: a similarity or a distance with its jackknife series, beside what exchanged samples give."""

from __future__ import annotations

import numpy as np

from analysis.compute.similarity.shape_null import chance, unrelated_deviation, unrelated_mean
from analysis.compute.similarity.shapes import (
    NOTHING,
    ROTATIONS,
    Shape,
    angles,
    best,
    chords,
    distances,
    similarities,
)
from analysis.compute.similarity.similarity_grid import Pair
from analysis.compute.statistics.exchange_moments import cantelli_p
from analysis.compute.statistics.nulls import add_one_p

SIMILARITY, ANGLE, CHORD, DISTANCE = "similarity", "angle", "chord", "distance"
CROWDED = 0.7  # similarity of unrelated shapes from which on samples are too few
NULL_METHODS = {
    ROTATIONS: "samples exchanged: mean of freely turned clouds, p by an exact bound",
    NOTHING: "samples exchanged, exact moments",
}


def shape_pair(
    one: Shape, other: Shape, ignored: str, measure: str, exchanges: np.ndarray | None = None
) -> Pair:
    """`measure` of two shapes. `exchanges` (draws, n), orders of the samples: needed where permutations are ignored.

    Null: of rotations by `shape_null`; where nothing is ignored <X, Y> has mean 0 and variance tr(XᵀX YᵀY) / (n - 1)
    exactly (W. Hoeffding 1951), and p is Cantelli's bound; of permutations from the exchanges, p with one added.
    """
    s = similarities(one, other, ignored)
    mean, deviation, p = _null(float(s[0]), one, other, ignored, exchanges)
    few = mean > CROWDED
    if measure == SIMILARITY:
        return Pair(s, mean, deviation, p, few)
    ends = np.clip([mean, mean - deviation, mean + deviation], -1.0, 1.0)
    sizes = (one.sizes, other.sizes, one.counts)
    null, above, below = _measured(np.sqrt(2 - 2 * ends), [v[0] for v in sizes], measure)
    found = _measured(chords(s, one, other, ignored), sizes, measure)
    return Pair(found, float(null), float(above - below) / 2, p, few)


def _measured(chord: np.ndarray, sizes, measure: str) -> np.ndarray:
    if measure == ANGLE:
        return angles(chord)
    return chord if measure == CHORD else distances(chord, *sizes)


def _null(value: float, one: Shape, other: Shape, ignored: str, exchanges) -> tuple[float, float, float]:
    if ignored == ROTATIONS:
        a, b = one.spread, other.spread
        return unrelated_mean(a, b), unrelated_deviation(a, b), chance(value, a, b)
    size = one.sizes[0] * other.sizes[0]
    if ignored == NOTHING:
        deviation = float(np.sqrt(np.vdot(one.square, other.square) / (one.n - 1)) / size)
        return 0.0, deviation, float(cantelli_p(value, 0.0, deviation))
    drawn = np.array([best(one.rows.T @ other.rows[order], ignored) for order in exchanges]) / size
    return float(drawn.mean()), float(drawn.std(ddof=1)), float(add_one_p(value, drawn))
