"""Predicting many targets from few predictors each: forward selection, from second moments alone.

Each step adds the predictor that lowers a target's squared error most, all coefficients being fitted again (orthogonal
least squares: S. Chen, S. Billings & W. Luo 1989; it differs from orthogonal matching pursuit only in that a candidate
is judged by what of it is new). Candidates are made orthogonal to the chosen ones one step at a time, so that a step
costs one pass over targets x candidates, whatever the number of samples.

A candidate of which less than a millionth is new is as good as chosen already, and never taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

NEW = 1e-6  # of a candidate's variance: the least that may be new

Rows = Callable[
    [np.ndarray], np.ndarray
]  # the chosen candidate of each target (t,) -> its covariances (t, k)


@dataclass(frozen=True)
class Paths:
    """Of t targets: `chosen` (t, m) candidates in order, -1 from where none was left; `weights` (t, m, m), line s - 1
    the coefficients of the first s chosen; `explained` (t, m), the variance explained by the first s."""

    chosen: np.ndarray
    weights: np.ndarray
    explained: np.ndarray


def forward_paths(cross: np.ndarray, spread: np.ndarray, rows: Rows, steps: int) -> Paths:
    """Paths of `steps` steps.

    Parameters
    ----------
    cross : (t, k) covariance of each target with its candidates.
    spread : (k,) or (t, k) variances of the candidates.
    rows : gives the covariances among candidates, those of one chosen candidate for each target.

    Notes
    -----
    Time and memory O(t k m).
    """
    t, k = cross.shape
    left, cross = np.array(np.broadcast_to(spread, (t, k)), dtype=np.float64), cross.copy()
    least = NEW * left
    axes = np.zeros((t, steps, k))  # covariance of each orthonormal chosen direction with all candidates
    lower, along = np.zeros((t, steps, steps)), np.zeros((t, steps))
    chosen, every = np.full((t, steps), -1, dtype=np.int64), np.arange(t)
    for s in range(steps):
        usable = (left > least) & (left > 0)
        gain = np.where(usable, cross**2 / np.where(usable, left, 1.0), -1.0)
        pick = gain.argmax(axis=1)
        going = gain[every, pick] >= 0
        if not going.any():
            lower[:, np.arange(s, steps), np.arange(s, steps)] = 1.0
            break
        lower[:, s, :s] = np.take_along_axis(axes[:, :s], pick[:, None, None], axis=2)[..., 0]
        scale = np.sqrt(np.where(going, left[every, pick], 1.0))
        lower[:, s, s] = scale
        new = (rows(pick) - np.einsum("ts,tsk->tk", lower[:, s, :s], axes[:, :s])) / scale[:, None]
        new[~going] = 0.0
        along[:, s] = np.where(going, cross[every, pick] / scale, 0.0)
        axes[:, s] = new
        left -= new * new
        cross -= along[:, s, None] * new
        chosen[going, s] = pick[going]
        left[every[going], pick[going]] = 0.0
    weights = np.cumsum(along[:, :, None] * np.linalg.inv(lower), axis=1)
    return Paths(chosen, weights, np.cumsum(along**2, axis=1))
