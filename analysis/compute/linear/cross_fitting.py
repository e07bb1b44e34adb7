"""Axes fitted with a response, drawn only on samples that had no part in fitting them.

The samples are cut into folds; each fold is placed by a fit on the others. The folds' axes differ by chance, so each
is turned (orthogonal Procrustes on the samples both fits know) onto the fit on all samples. What remains is stated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.procrustes import rotation_onto
from analysis.spec import Progress, no_progress

Fit = Callable[[int], tuple[np.ndarray, np.ndarray]]  # fold left out, or -1 -> mean (d,), weights (d, q)


@dataclass(frozen=True)
class CrossFitted:
    """`mean` (d,) and `weights` (d, q) of the fit on all samples; `fold` (samples,); per fold its `means` and
    turned `turned` weights (folds, d, q); `residual`, the share of the squared coordinates that turning could not
    bring to agree."""

    mean: np.ndarray
    weights: np.ndarray
    fold: np.ndarray
    means: np.ndarray
    turned: np.ndarray
    residual: float

    def held_out(self, x: np.ndarray, sample: np.ndarray) -> np.ndarray:
        """Coordinates (n, q) of the points `x` (n, d) by the fit that did not see their sample. O(n d q)."""
        out = np.empty((len(x), self.weights.shape[1]))
        for f in range(len(self.means)):
            mine = self.fold[sample] == f
            out[mine] = (x[mine] - self.means[f]) @ self.turned[f]
        return out


def folds_of(keys: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Fold number (n,) of each sample, every fold with as many of each key (n,) as can be."""
    order = np.lexsort((rng.random(len(keys)), keys))
    out = np.empty(len(keys), dtype=np.int64)
    out[order] = np.arange(len(keys)) % folds
    return out


def cross_fitted(
    x: np.ndarray,
    fold: np.ndarray,
    fit: Fit,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> CrossFitted:
    """Fit on all samples and once without each fold. `x` (samples, d), `fold` (samples,)."""
    mean, weights = fit(-1)
    means, turned, apart, whole = [], [], 0.0, 0.0
    for f in range(fold.max() + 1):
        progress(span[0] + (span[1] - span[0]) * f / (fold.max() + 1), "fitting without a fold")
        train = fold != f
        m, w = fit(f)
        target, own = (x[train] - mean) @ weights, (x[train] - m) @ w
        rotation = rotation_onto(own - own.mean(axis=0), target - target.mean(axis=0))
        means.append(m)
        turned.append(w @ rotation)
        apart += float((((own - own.mean(axis=0)) @ rotation - target + target.mean(axis=0)) ** 2).sum())
        whole += float(((target - target.mean(axis=0)) ** 2).sum())
    return CrossFitted(
        mean, weights, fold, np.array(means), np.array(turned), apart / whole if whole else 0.0
    )


def held_out_errors(
    x: np.ndarray, y: np.ndarray, fold: np.ndarray, fit: Fit, predict
) -> tuple[np.ndarray, np.ndarray]:
    """Squared errors (n,) of responses `y` (n, r) predicted from held-out coordinates, and of the training mean.

    predict : (coordinates of the training samples, their responses, coordinates to predict) -> responses.
    """
    left, whole = np.empty(len(x)), np.empty(len(x))
    for f in range(fold.max() + 1):
        train, test = fold != f, fold == f
        mean, weights = fit(f)
        a, b = (x[train] - mean) @ weights, (x[test] - mean) @ weights
        left[test] = ((y[test] - predict(a, y[train], b)) ** 2).sum(axis=1)
        whole[test] = ((y[test] - y[train].mean(axis=0)) ** 2).sum(axis=1)
    return left, whole
