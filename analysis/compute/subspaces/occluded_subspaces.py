"""How far does a subspace of features turn when something is hidden? Of a sample under augmentations, with and without.

The vectors of the augmented sample, (augmentations, d), span a subspace of k dimensions (left as they are, uncentred,
as in the paper: the first k right singular vectors). Between the subspaces before and after

    heat = 1 - (1 / k) Σ_i cos² θ_i

which is 0 for the same subspace, 1 - k / d on average for random ones and 1 for orthogonal ones. One vector without
augmentation gives 1 - cos² of the two.

Reference: P. Valois, K. Niinuma & K. Fukui (2024), "Occlusion sensitivity analysis with augmentation subspace
perturbation in deep feature space".
"""

from __future__ import annotations

import numpy as np

from analysis.errors import ParameterError

ROUNDING = 1e-12


def span(vectors: np.ndarray, k: int) -> np.ndarray:
    """(d, k) orthonormal basis of the leading directions of `vectors` (augmentations, d), fewer where their rank is
    lower. Raises ParameterError where k is not below the number of augmentations (one vector: k = 1)."""
    count = len(vectors)
    if not 1 <= k <= max(1, count - 1):
        raise ParameterError(f"a subspace of {k} dimensions from {count} augmented samples",
                             f"1 … {max(1, count - 1)}: fewer dimensions than augmentations")  # fmt: skip
    _, size, base = np.linalg.svd(np.asarray(vectors, np.float64), full_matrices=False)
    rank = int((size > 1e-10 * max(float(size[0]), 1e-300)).sum())
    return base[: min(k, rank)].T


def turned(reference: np.ndarray, other: np.ndarray) -> tuple[float, np.ndarray]:
    """Heat and cos² (k,) falling, of bases (d, k) and (d, j); 0 heat where both hold the same numbers. A basis without
    directions is orthogonal to any."""
    k = max(reference.shape[1], other.shape[1])
    if k == 0 or (reference.shape == other.shape and np.array_equal(reference, other)):
        return 0.0, np.ones(reference.shape[1])
    squares = np.zeros(k)
    if min(reference.shape[1], other.shape[1]):
        found = np.clip(np.linalg.svd(reference.T @ other, compute_uv=False), 0.0, 1.0) ** 2
        squares[: len(found)] = found
    heat = 1 - float(squares.mean())
    return (0.0 if heat < ROUNDING else heat), squares


def floor(k: int, d: int) -> float:
    """Mean heat of two random subspaces of k of d dimensions, exactly: E Σ cos² θ = k² / d."""
    return 1 - min(k, d) / d
