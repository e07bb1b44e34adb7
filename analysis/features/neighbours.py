"""Directions that lie next to a feature's own in its dictionary, beside what unrelated directions reach."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import betaincinv

from analysis.errors import NotFound
from analysis.features.feature_set import FeatureSet


def unit_directions(features: FeatureSet) -> np.ndarray:
    """(k, d) float32: the directions at length 1; one of length 0 stays 0."""
    lengths = np.where(features.lengths > 0, features.lengths, 1)
    return features.directions / lengths[:, None]


def decoder_neighbours(directions: np.ndarray, feature: int, many: int = 8) -> list[tuple[int, float]]:
    """(feature, cosine) of the `many` directions with the largest |cosine| to that of `feature`, falling.

    `directions` (k, d) have length 1; one of length 0 has no neighbours. O(k d). Raises NotFound.
    """
    k = len(directions)
    if not 0 <= feature < k:
        raise NotFound(f"no feature {feature}", f"0 … {k - 1}")
    if not directions[feature].any():
        return []
    cosines = directions @ directions[feature]
    size = np.abs(cosines)
    size[feature] = -1
    silent = np.flatnonzero(size == 0)
    size[silent[~directions[silent].any(axis=1)]] = -1
    many = min(many, k - 1)
    near = np.flatnonzero(size >= np.partition(size, k - many)[k - many]) if many else np.zeros(0, np.int64)
    best = near[np.argsort(-size[near], kind="stable")[:many]]
    return [(int(j), float(np.clip(cosines[j], -1, 1))) for j in best if size[j] >= 0]


def largest_cosine_by_chance(others: int, d: int, level: float = 0.95) -> float:
    """The |cosine| that the nearest of so many independent uniform directions in d dimensions stays below with
    probability `level`: cos² of one follows Beta(1/2, (d - 1)/2). 1 in one dimension."""
    if others < 1 or d < 2:
        return 1.0
    return math.sqrt(float(betaincinv(0.5, (d - 1) / 2, level ** (1 / others))))
