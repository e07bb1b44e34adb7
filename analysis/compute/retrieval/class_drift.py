"""Where the means of classes go when a model is replaced, and how near they are to a regular simplex.

A simplex of K classes, the most even arrangement, has cosines of -1 / (K - 1) between all centred class means; it fits
into K - 1 dimensions. Classifiers that are fixed to it keep a place for classes that have not come yet.

References: N. Biondi et al. (2023), "CoReS: compatible representations via stationarity"; F. Pernici et al. (2021),
"Regular polytope networks"; V. Papyan et al. (2020) for the simplex that trained classifiers tend to.
"""

from __future__ import annotations

import numpy as np


def class_means(x: np.ndarray, of: np.ndarray, classes: int) -> np.ndarray:
    """(K, d) of points (n, d) with class numbers (n,), every class with a sample. O(n d K)."""
    member = of == np.arange(classes)[:, None]
    return (member @ x) / member.sum(axis=1, keepdims=True)


def drifts(old: np.ndarray, new: np.ndarray, cosine: bool) -> tuple[np.ndarray, np.ndarray]:
    """How far each class mean (K, d) moved, and its mean distance to where the *other* classes were, (K,) each:
    1 - cosine (1 for a mean of zeros), or the distance."""
    k = len(old)
    if cosine:
        a, b = _unit(new), _unit(old)
        apart = 1 - a @ b.T
        moved = np.einsum("ij,ij->i", a - b, a - b) / 2  # exactly 0 for equal ones
        moved[a.any(axis=1) != b.any(axis=1)] = 1.0
    else:
        apart = np.sqrt(np.maximum(((new[:, None] - old[None]) ** 2).sum(axis=2), 0.0))
        moved = np.diag(apart).copy()
    np.fill_diagonal(apart, 0.0)
    return moved, apart.sum(axis=1) / max(k - 1, 1)


def simplex_distance(means: np.ndarray) -> float:
    """Root mean square of cosine + 1 / (K - 1) over all pairs of class means (K, d), centred; 0 for a regular simplex,
    at least three classes."""
    k = len(means)
    unit = _unit(means - means.mean(axis=0))
    cosines = (unit @ unit.T)[np.triu_indices(k, 1)]
    return float(np.sqrt(((cosines + 1 / (k - 1)) ** 2).mean()))


def simplex_null(
    x: np.ndarray, of: np.ndarray, classes: int, rng: np.random.Generator, draws: int = 50
) -> np.ndarray:
    """`simplex_distance` (draws,) of the means of random classes of the same sizes. O(draws n d)."""
    return np.array([simplex_distance(class_means(x, rng.permutation(of), classes)) for _ in range(draws)])


def _unit(x: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, 1.0)
