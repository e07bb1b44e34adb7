"""Which p for which channels: the one whose pooled values differ most between the labels, on other folds.

For channel c and power p, η²_cp is the share of the variance over samples that lies between labels. Of a group of
channels the p with the largest mean η² is taken. One group is one p for all, as many groups as channels one for each.
A trained network learns p by its loss; this choice has no gradient and sees every channel alone.
"""

from __future__ import annotations

import numpy as np


def groups_of_channels(d: int, groups: int) -> np.ndarray:
    """(d,) group of each channel, in equal runs as heads are."""
    return np.arange(d) * min(groups, d) // d


def between_shares(pooled: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(P, d) η² of `pooled` (P, n, d); 0 where nothing varies."""
    x = pooled - pooled.mean(axis=1, keepdims=True)
    counts = np.bincount(codes)
    member = np.eye(len(counts))[codes] / np.sqrt(np.maximum(counts, 1))[codes, None]
    between = np.square(np.einsum("nk,pnd->pkd", member, x)).sum(axis=1)
    whole = np.square(x).sum(axis=1)
    floor = 1e-24 * np.square(pooled).sum(axis=1) + 1e-300
    return np.where(whole > floor, between / np.where(whole > floor, whole, 1.0), 0.0)


def chosen_powers(pooled: np.ndarray, codes: np.ndarray, group: np.ndarray) -> np.ndarray:
    """(d,) which of the P powers each channel takes."""
    share = between_shares(pooled, codes)
    counts = np.bincount(group)
    of = np.stack([np.bincount(group, weights=row) for row in share]) / counts
    return of.argmax(axis=0)[group]


def with_powers(pooled: np.ndarray, which: np.ndarray) -> np.ndarray:
    """(n, d) of `pooled` (P, n, d), channel c at power `which` (d,)."""
    return pooled[which, :, np.arange(pooled.shape[2])].T
