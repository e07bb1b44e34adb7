"""Late fusion: what several modalities' class scores tell together, for every weighting of them.

    s(w) = Σ_m w_m s_m ,  w ≥ 0, Σ w = 1 ;   the answer is the class of the largest s(w)

Credit of a sample is 1 where its class alone has the largest score, 1 / t where t classes share it. The value of a set
of modalities is the metric of their equal weights, of none the metric of one score for all classes, 1 / classes.
"""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np

from analysis.errors import InputError

ACCURACY, BALANCED = "accuracy", "balanced accuracy"
METRICS = (ACCURACY, BALANCED)
TIE = 1e-12  # of the largest score


def simplex(modalities: int, most: int) -> np.ndarray:
    """Weightings (points, modalities) on an even grid of the simplex, as fine as `most` points allow, corners among
    them."""
    steps = 1
    while comb(steps + modalities, modalities - 1) <= most:
        steps += 1
    bars = np.array(list(combinations(range(steps + modalities - 1), modalities - 1)), np.int64)
    bars = bars.reshape(-1, modalities - 1)
    edges = np.concatenate(
        [np.full((len(bars), 1), -1), bars, np.full((len(bars), 1), steps + modalities - 1)], axis=1
    )
    return (np.diff(edges, axis=1) - 1) / steps


def credits(scores: np.ndarray, weights: np.ndarray, of: np.ndarray) -> np.ndarray:
    """(points, n) credit of each weighting (points, modalities) of `scores` (modalities, n, classes)."""
    out = np.empty((len(weights), len(of)))
    rows = np.arange(len(of))
    for i, w in enumerate(weights):
        out[i] = won(np.tensordot(w, scores, axes=1))[rows, of]
    return out


def won(fused: np.ndarray) -> np.ndarray:
    """(n, classes) share of the answer that each class has."""
    top = fused.max(axis=1, keepdims=True)
    first = fused >= top - TIE * np.abs(top)
    return first / first.sum(axis=1, keepdims=True)


def sample_weights(of: np.ndarray, metric: str, times: np.ndarray) -> np.ndarray:
    """(draws, n) weights that make the metric a sum over samples, each counted `times` (draws, n)."""
    if metric == ACCURACY:
        return times / np.maximum(times.sum(axis=1, keepdims=True), 1e-300)
    classes = np.arange(of.max() + 1)
    count = np.stack([times[:, of == c].sum(axis=1) for c in classes], axis=1)
    there = np.maximum((count > 0).sum(axis=1, keepdims=True), 1)
    return times / np.maximum(count, 1e-300)[:, of] / there


def coalition_weights(modalities: int) -> np.ndarray:
    """(2^modalities, modalities) equal weights of the members of each coalition, in the order of `all_values`."""
    members = ((np.arange(2**modalities)[:, None] >> np.arange(modalities)) & 1).astype(np.float64)
    return members / np.maximum(members.sum(axis=1, keepdims=True), 1)


def corners(modalities: int) -> np.ndarray:
    """(modalities, 2) where to draw each modality alone: a regular polygon, first on top; two lie on a line."""
    if modalities == 2:
        return np.array([[0.0, 0.0], [1.0, 0.0]])
    turn = np.pi / 2 - 2 * np.pi * np.arange(modalities) / modalities
    return np.column_stack([np.cos(turn), np.sin(turn)])


def blocks_of(names, units: int, modalities: int) -> tuple[list[np.ndarray], list[str], str]:
    """Columns of each modality, their names, and how they were told apart: by what stands before ':' in the names of
    units where all have it, else in equal blocks. Raises InputError."""
    parts = [str(n).partition(":") for n in names]
    if len(parts) == units and units and all(colon and before for before, colon, _ in parts):
        found = list(dict.fromkeys(before for before, _, _ in parts))
        own = [np.array([i for i, p in enumerate(parts) if p[0] == name]) for name in found]
        return own, found, "by the names of units, up to ':'"
    if units < modalities:
        raise InputError(f"{units} unit(s) for {modalities} modalities", "at least a unit for each")
    own = np.array_split(np.arange(units), modalities)
    told = [f"units {o[0]} to {o[-1]}" if len(o) > 1 else f"unit {o[0]}" for o in own]
    return own, told, "in blocks of equal size"
