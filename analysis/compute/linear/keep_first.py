"""Classes read from the first k units by a probe that may memorise, with true labels and with some exchanged.

Least squares onto class membership with a fixed small ridge (a share of the mean squared singular value), so that with
as many units as samples the probe repeats what it was shown, right or wrong. Which labels are exchanged is the same for
all orders and all k.

    clean       trained on true labels, judged on others
    noisy       trained with some labels exchanged, judged on others by their true labels
    memorised   the share of the exchanged labels that the probe, shown them, repeats
"""

from __future__ import annotations

import numpy as np

MEASURES = ("clean labels", "noisy labels", "exchanged labels memorised")


def exchanged_labels(of: np.ndarray, classes: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """(n,) labels of which `share` became another class, drawn evenly."""
    out, moved = of.copy(), rng.permutation(len(of))[: round(share * len(of))]
    out[moved] = (of[moved] + rng.integers(1, classes, len(moved))) % classes
    return out


def first_units(
    x: np.ndarray,
    of: np.ndarray,
    told: np.ndarray,
    classes: int,
    fold: np.ndarray,
    sizes: np.ndarray,
    ridge: float,
) -> np.ndarray:
    """(3, sizes, n) by measure: whether each sample is right (held out), NaN of labels that were not exchanged in the
    third, which is the mean over the folds that saw them. `x` (n, d) in its order; `told` (n,) labels, some exchanged.
    O(folds n d min(n, d)) for the largest size, twice that over halved ones."""
    n, folds = len(x), int(fold.max()) + 1
    out, wrong = np.zeros((3, len(sizes), n)), told != of
    for i, size in enumerate(sizes):
        for f in range(folds):
            train, test = fold != f, fold == f
            both = np.hstack([np.eye(classes)[of[train]], np.eye(classes)[told[train]]])
            again, found = _fitted(x[train, :size], both, x[test, :size], ridge)
            out[0, i, test] = found[:, :classes].argmax(axis=1) == of[test]
            out[1, i, test] = found[:, classes:].argmax(axis=1) == of[test]
            out[2, i, train] += (again[:, classes:].argmax(axis=1) == told[train]) / (folds - 1)
        out[2, i, ~wrong] = np.nan
    return out


def _fitted(x: np.ndarray, y: np.ndarray, test: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """Fitted values of the training rows and of `test`, by the smaller of two systems."""
    mean, middle = x.mean(axis=0), y.mean(axis=0)
    z, t = x - mean, test - mean
    level = ridge * float((z**2).sum()) / min(z.shape) + 1e-300
    if len(z) <= z.shape[1]:
        gram = z @ z.T
        weights = np.linalg.solve(gram + level * np.eye(len(z)), y - middle)
        return gram @ weights + middle, (t @ z.T) @ weights + middle
    weights = np.linalg.solve(z.T @ z + level * np.eye(z.shape[1]), z.T @ (y - middle))
    return z @ weights + middle, t @ weights + middle


def turned(x: np.ndarray) -> np.ndarray:
    """`x` (n, d) on its principal axes, falling variance; as many columns as there are, at most d."""
    z = x - x.mean(axis=0)
    left, size, _ = np.linalg.svd(z, full_matrices=False)
    return left * size
