"""Linear probes of many targets at once: ridge regression, every prediction by a fit that did not see the sample.

For centred training samples X = U S Vᵀ and a target y: w = V diag(s / (s² + λ)) Uᵀ y. One decomposition a fold serves
all targets and all λ, so that hundreds of permuted targets cost little more than one. λ is chosen for each group of
targets by generalised cross-validation inside the training samples (Golub, Heath & Wahba 1979), among multiples of the
mean squared singular value; permuted targets choose theirs too.

Indicators of classes are read by the nearest of the class means of the fitted values (as in discriminant analysis by
regression, Hastie, Tibshirani & Buja 1994), so that neither a large class nor the accident of which classes were in the
fold that was left out decides: with nothing to tell, each class is right as often as it is named.
"""

from __future__ import annotations

import numpy as np

from analysis.spec import Progress, no_progress

PENALTIES = 10.0 ** np.arange(-4.0, 3.0)  # of the mean squared singular value


def held_out_predictions(
    x: np.ndarray,
    y: np.ndarray,
    group: np.ndarray,
    fold: np.ndarray,
    indicators: np.ndarray | None = None,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray:
    """Predictions (n, m) of targets `y` (n, m) from `x` (n, d), those of the training mean where nothing helps.

    `group` (m,) int, rising from 0: targets that share their penalty. `fold` (n,) int. `indicators` (groups,) bool:
    groups whose targets are the indicators of classes get, for each class, a score that is highest for the nearest
    class mean instead. Time O(n d min(n, d) + n r m) a fold, memory O(n (d + m)).
    """
    out, folds = np.empty(y.shape), int(fold.max()) + 1
    for f in range(folds):
        progress(span[0] + (span[1] - span[0]) * f / folds, "fitting probes")
        out[fold == f] = _fold(x[fold != f], y[fold != f], x[fold == f], group, indicators)
    return out


def ridge_weights(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(d, m) weights of the probes of the columns of `y` (n, m) on all samples `x` (n, d), each with its own penalty.
    O(n d min(n, d))."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    left, s, right = _decomposed(x)
    if not len(s):
        return np.zeros((x.shape[1], y.shape[1]))
    along, lam = left.T @ y, PENALTIES * float((s**2).mean())
    chosen = _chosen(along, s, lam, (y**2).sum(axis=0), len(x), np.arange(y.shape[1]))
    return right @ (along * (s[:, None] / (s[:, None] ** 2 + lam[chosen])))


def _fold(x, y, test, group, indicators) -> np.ndarray:
    mean, middle = x.mean(axis=0), y.mean(axis=0)
    left, s, right = _decomposed(x - mean)
    if not len(s):
        return np.tile(middle, (len(test), 1))
    along = left.T @ (y - middle)
    lam = PENALTIES * float((s**2).mean())
    chosen = _chosen(along, s, lam, ((y - middle) ** 2).sum(axis=0), len(x), group)
    scores, out = (test - mean) @ right, np.empty((len(test), y.shape[1]))
    kept = s[:, None] ** 2 / (s[:, None] ** 2 + lam)
    for i in np.unique(chosen):
        these = chosen == i
        out[:, these] = scores @ ((kept[:, i] / s)[:, None] * along[:, these])
    starts = np.searchsorted(group, np.arange(int(group.max()) + 2))
    for g in np.flatnonzero(np.zeros(len(starts) - 1, bool) if indicators is None else indicators):
        of = slice(starts[g], starts[g + 1])
        counts = len(x) * middle[of]
        # the mean fitted value of class c, less that of all: along is Uᵀ of its indicator, since Uᵀ 1 = 0
        centres = (along[:, of] * kept[:, chosen[starts[g]], None]).T @ along[:, of] / np.maximum(counts, 1)
        nearest = out[:, of] @ centres - np.einsum("ij,ij->j", centres, centres) / 2
        out[:, of] = np.where(counts > 0.5, nearest, -np.inf)
    if indicators is not None:
        middle = np.where(np.asarray(indicators)[group], 0.0, middle)
    return out + middle


def _decomposed(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U (n, r), s (r,), V (d, r) of centred x, without directions that are rounding, by the smaller Gram matrix."""
    wide = x.shape[1] > len(x)
    values, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    keep = values > max(values[-1], 0.0) * max(x.shape) * np.finfo(float).eps
    s, vectors = np.sqrt(values[keep]), vectors[:, keep]
    other = (x.T if wide else x) @ vectors / s
    return (vectors, s, other) if wide else (other, s, vectors)


def _chosen(along, s, lam, whole, n: int, group) -> np.ndarray:
    """Which penalty (m,) has the least generalised cross-validation error, summed over each group of targets."""
    energy = along**2
    outside = np.maximum(whole - energy.sum(axis=0), 0.0)
    errors = np.empty((len(lam), int(group.max()) + 1))
    for i, value in enumerate(lam):
        kept = s**2 / (s**2 + value)
        left = outside + ((1 - kept) ** 2) @ energy
        freedom = n - 1 - kept.sum()  # one for the mean
        left = left * n / freedom**2 if freedom > 1e-9 * n else np.full(len(left), np.inf)
        errors[i] = np.bincount(group, weights=left)
    return errors.argmin(axis=0)[group]
