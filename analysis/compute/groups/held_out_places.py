"""Samples placed between the means of two sets that they had no part in, and how well that tells the sets apart."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.auroc import class_auroc, midranks


def placed(x: np.ndarray, labels: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Places (n, m) of samples `x` (n, d) by the means of the other folds, for every one of `labels` (m, n) bool: the
    training means of its two sets lie at 1/2 and -1/2. O(folds n d m)."""
    out = np.zeros((len(x), len(labels)))
    centre = x.mean(axis=0)
    for f in range(int(fold.max()) + 1):
        own, test = fold != f, fold == f
        z, mine = x[own] - centre, labels[:, own].astype(np.float64)
        one = (mine @ z) / np.maximum(mine.sum(axis=1), 1)[:, None]
        two = ((1 - mine) @ z) / np.maximum((1 - mine).sum(axis=1), 1)[:, None]
        step, middle = one - two, (one + two) / 2
        size = np.maximum((step**2).sum(axis=1), 1e-300)
        out[test] = ((x[test] - centre) @ step.T - (middle * step).sum(axis=1)) / size
    return out


def auroc_of(place: np.ndarray, first: np.ndarray) -> float:
    """Of places (n,) for telling the samples `first` (n,) bool from the others."""
    ranks = midranks(place[:, None])[0]
    counts = np.array([int((~first).sum()), int(first.sum())])
    return float(class_auroc(ranks, first.astype(np.int64), counts)[1, 0])
