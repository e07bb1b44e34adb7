"""A set of vectors as one, by a softmax over its elements in every channel; and what each element changes.

    w_ic = exp(s_ic) / Σ_j exp(s_jc),      f_c = Σ_i w_ic x_ic

The order of elements changes nothing, one element alone is returned as it is, equal scores give the mean. Scores of a
trained network are s = x W; without one they are β times each channel in standard deviations.

Reference: B. Yang, S. Wang, A. Markham & N. Trigoni (2020), "Robust attentional aggregation of deep feature sets for
multi-view 3D reconstruction".
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Pool = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (n, T, d), (n, T) present -> (n, d)


def set_weights(scores: np.ndarray, present: np.ndarray | None = None) -> np.ndarray:
    """(…, T, d) that add up to 1 over the elements of each channel, of scores of the same shape."""
    here = np.ones(scores.shape[:-1], bool) if present is None else present
    most = np.where(here[..., None], scores, -np.inf).max(axis=-2, keepdims=True)
    with np.errstate(under="ignore"):
        weight = np.exp(np.where(here[..., None], scores - most, 0.0)) * here[..., None]
    return weight / weight.sum(axis=-2, keepdims=True)


def attentive(x: np.ndarray, scores: np.ndarray, present: np.ndarray | None = None) -> np.ndarray:
    """(…, d)."""
    return (set_weights(scores, present) * x).sum(axis=-2)


def standard_scores(x: np.ndarray, present: np.ndarray, sharpness: float) -> np.ndarray:
    """(n, T, d) `sharpness` times each channel in standard deviations over all tokens that are present."""
    there = x[present]
    spread = there.std(axis=0)
    return sharpness * (x - there.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def without_each(x: np.ndarray, present: np.ndarray, pool: Pool) -> np.ndarray:
    """(n, T) length of what pooling changes by when a token is left out; NaN where there is none, or no other. O(T)
    poolings."""
    whole, out = pool(x, present), np.full(present.shape, np.nan)
    for i in range(present.shape[1]):
        rest = present.copy()
        rest[:, i] = False
        asked = present[:, i] & rest.any(axis=1)
        if asked.any():
            out[asked, i] = np.linalg.norm(pool(x[asked], rest[asked]) - whole[asked], axis=1)
    return out
