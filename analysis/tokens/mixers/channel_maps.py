"""Channels of one sensor told by those of another: which go together, and how well each is made of the others.

Samples are scenes that both have seen; a channel has a number for each, or a vector (a token for each channel), whose
coordinates then count as further numbers of the same scene.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from analysis.compute.linear.ridge_probe import ridge_weights
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.results import Estimate

FOLDS = 5


def correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(p, q) of channels x (n, p, e), y (n, q, e), the mean over samples of each coordinate taken off; 0 where one does
    not vary."""
    a, b = (_unit(v) for v in (x, y))
    return np.clip(np.einsum("npe,nqe->pq", a, b), -1.0, 1.0)


def _unit(x: np.ndarray) -> np.ndarray:
    """Centred, each channel of length 1, or 0 where it does not vary."""
    centred = x - x.mean(axis=0)
    size = np.sqrt(np.square(centred).sum(axis=(0, 2)))
    varies = size > 1e-9 * np.sqrt(np.square(x).sum(axis=(0, 2)) + 1e-300)
    return centred * (varies / np.where(varies, size, 1.0))[None, :, None]


def assigned(value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows, columns) of the pairs, one to one, whose sum of `value` (p, q) is largest."""
    return linear_sum_assignment(value, maximize=True)


def nearest_channel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(p,) the channel of `second` (q,) nm nearest to each of `first` (p,), the first of equals."""
    return np.abs(first[:, None] - second).argmin(axis=1)


def held_out(x: np.ndarray, y: np.ndarray, fold: np.ndarray, single: np.ndarray | None = None) -> np.ndarray:
    """(n, q) squared errors of y (n, q, e) told by all channels x (n, p, e) linearly (ridge), or each by its `single`
    (q,) one alone, fitted on the other folds; `fold` (n,). Means over coordinates."""
    out = np.zeros(y.shape[:2])
    for k in range(int(fold.max()) + 1):
        train, test = fold != k, fold == k
        a, b = (np.moveaxis(v[train], 2, 1).reshape(-1, v.shape[1]) for v in (x, y))
        there = np.moveaxis(x[test], 2, 1).reshape(-1, x.shape[1])
        middle, level = a.mean(axis=0), b.mean(axis=0)
        if single is None:
            said = (there - middle) @ ridge_weights(a, b) + level
        else:
            chosen = a[:, single] - middle[single]
            square = np.square(chosen).sum(axis=0)
            slope = (chosen * (b - level)).sum(axis=0) / np.where(square > 0, square, 1.0)
            said = (there[:, single] - middle[single]) * slope + level
        error = np.square(said.reshape(int(test.sum()), -1, y.shape[1]) - np.moveaxis(y[test], 2, 1))
        out[test] = error.mean(axis=1)
    return out


def spread(y: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """(n, q) squared distances of y (n, q, e) from the mean of the other folds."""
    out = np.zeros(y.shape[:2])
    for k in range(int(fold.max()) + 1):
        test = fold == k
        out[test] = np.square(y[test] - y[~test].mean(axis=(0, 2))[:, None]).mean(axis=2)
    return out


def explained(name, error, around, groups, facts, how, luck) -> Estimate:
    """1 - `error` over `around` (n, q), channel by channel, mean over those that vary; `luck`: errors by chance."""

    def value(keep, error=error):
        whole = around[keep].sum(axis=0)
        varies = whole > 1e-24
        return float(1 - (error[keep].sum(axis=0)[varies] / whole[varies]).mean()) if varies.any() else 0.0

    every = np.ones(len(error), bool)
    own = value(every)
    half = jackknife_half(np.array([value(groups != g) for g in range(groups.max() + 1)]))
    ends = {"interval": "none: too few scenes"} if half is None else {
        "low": own - float(half), "high": min(own + float(half), 1.0),
        "interval": "jackknife over groups of scenes, predictions held"}  # fmt: skip
    return Estimate(name, own, **ends, null=float(np.mean([value(every, e) for e in luck])),
                    null_method=f"scenes exchanged, {len(luck)} refits", estimator=how, **facts)  # fmt: skip


def pairs_interval(x, y, rows, columns, groups, value: float) -> dict:
    """Of the mean correlation `value` of pairs that are held."""
    left = [correlations(x[groups != g][:, rows], y[groups != g][:, columns]).trace() / len(rows)
            for g in range(groups.max() + 1)]  # fmt: skip
    half = jackknife_half(np.array(left))
    return {"interval": "none: too few scenes"} if half is None else {
        "low": max(value - float(half), -1.0), "high": min(value + float(half), 1.0),
        "interval": "jackknife over groups of scenes, pairs held"}  # fmt: skip
