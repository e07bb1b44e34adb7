"""How each class spreads about its mean: in how many directions, how far, and along or across the class means.

Participation ratio (tr Σ)² / tr Σ² of a class's covariance Σ: the number of directions where all spread equally. From m
+ 1 samples the plug-in value is too low, never above m: for Gaussian data tr S² is (1 + 1/m) tr Σ² + (tr Σ)² / m on
average and (tr S)² is (tr Σ)² + 2 tr Σ² / m, which is solved for both (exactly unbiased numerator and denominator).

Along the means: the share of the within-class variance that lies in the span of the centred class means, at most C - 1
directions. Means and spread come from different samples (folds), as a class mean of few samples is drawn along the
directions in which its samples spread.
"""

from __future__ import annotations

import numpy as np

from analysis.compute.subspaces.class_frames import class_frames

SMALL = 1e-10  # singular values of the means below this share of the largest are zeros


def class_moments(x: np.ndarray, of: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """tr S (C,), tr S² (C,) and n (C,) of each class of rows `x` (n, d), divisor n_c - 1. O(n d min(n_c, d))."""
    trace, square, counts = np.zeros(classes), np.zeros(classes), np.bincount(of, minlength=classes)
    for c in range(classes):
        rest = x[of == c] - x[of == c].mean(axis=0)
        gram = rest @ rest.T if len(rest) < rest.shape[1] else rest.T @ rest
        trace[c] = np.trace(gram) / (counts[c] - 1)
        square[c] = (gram**2).sum() / (counts[c] - 1) ** 2
    return trace, square, counts


def participation(trace: np.ndarray, square: np.ndarray, counts: np.ndarray, d: int) -> np.ndarray:
    """Participation ratio of each class, freed of sampling for Gaussian data, within [1, d]; 0 without any spread."""
    m = counts - 1.0
    # both times (m - 1) (m + 2) / m²: what E tr S² and E (tr S)² give when they are solved
    top = (m + 1) / m * trace**2 - 2 / m * square
    bottom = square - trace**2 / m
    found = np.divide(top, bottom, out=np.full(len(m), float(d)), where=bottom > 0)
    return np.where(trace > 0, np.clip(found, 1.0, d), 0.0)


def between_basis(x: np.ndarray, of: np.ndarray, classes: int) -> np.ndarray:
    """Orthonormal (d, r) span of the centred class means, r <= C - 1."""
    sums = (of == np.arange(classes)[:, None]).astype(np.float64) @ x
    means = sums / np.bincount(of, minlength=classes)[:, None]
    _, s, v = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
    return v[s > SMALL * max(s[0], 1e-300)].T


def along_means(
    x: np.ndarray, of: np.ndarray, classes: int, fold: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """Sums of squares about class means along the means' span (n,), and whole (n,), each row by the span of the other
    folds and the class mean of its own, and the span's dimension. O(n d C)."""
    along, whole, rank = np.empty(len(x)), np.empty(len(x)), 0
    for f in range(fold.max() + 1):
        test = fold == f
        basis = between_basis(x[~test], of[~test], classes)
        mine, rank = of[test], max(rank, basis.shape[1])
        counts = np.bincount(mine, minlength=classes)
        sums = (mine == np.arange(classes)[:, None]).astype(np.float64) @ x[test]
        rest = x[test] - (sums / np.maximum(counts, 1)[:, None])[mine]
        along[test], whole[test] = ((rest @ basis) ** 2).sum(axis=1), (rest**2).sum(axis=1)
    return along, whole, rank


def mean_cosines(x: np.ndarray, of: np.ndarray, classes: int) -> np.ndarray:
    """(C, C) cosines between the class means of `x`; 0 where a mean is 0."""
    sums = (of == np.arange(classes)[:, None]).astype(np.float64) @ x
    means = sums / np.bincount(of, minlength=classes)[:, None]
    length = np.linalg.norm(means, axis=1, keepdims=True)
    unit = np.divide(means, length, out=np.zeros_like(means), where=length > 0)
    return np.clip(unit @ unit.T, -1.0, 1.0)


def frame_overlaps(x: np.ndarray, of: np.ndarray, classes: int, k: int) -> np.ndarray:
    """Σ cos² θ / k (C, C) of the classes' k leading directions about the origin of `x`. O(n d min(n_c, d))."""
    frames = class_frames(x, of, classes, k)
    return np.array([[((a.T @ b) ** 2).sum() / k for b in frames] for a in frames])
