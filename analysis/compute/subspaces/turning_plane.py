"""Where each sample lies in the plane in which a step of a series turns most: along what both subspaces share, and
along what turned."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from analysis.compute.subspaces.moved import Step
from analysis.compute.subspaces.series import UNITS, Series


def turning_plane(series: Series, step: Step) -> np.ndarray:
    """(S, 2) of each sample: along the direction half-way between the two most turned axes, and along their difference;
    0 along the latter where nothing turns. Of units the scores of the tap to which the step leads (means over the
    tokens of a sample); of samples the directions' own entries, with a mean square of 1."""
    found = step.difference
    apart = found.directions[:, -1] if found.moved.any() else np.zeros(len(found.mean))
    plane = np.column_stack([found.mean[:, -1], apart])
    if series.space != UNITS:
        return plane * np.sqrt(len(plane))
    x = series.values[step.taps[1]]
    scores = (x - x.mean(axis=0)) @ plane
    rows = np.bincount(series.sample)[:, None]
    return np.column_stack([np.bincount(series.sample, column) for column in scores.T]) / rows


def facing(frames: np.ndarray) -> np.ndarray:
    """(m, S, 2) with the signs of each frame turned, so that it does not mirror the one before it."""
    out = np.array(frames, dtype=np.float64)
    for before, frame in pairwise(out):
        frame *= np.where((before * frame).sum(axis=0) < 0, -1.0, 1.0)
    return out
