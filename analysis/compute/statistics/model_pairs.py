"""A relation between two matrices over the same models, pair by pair: Spearman's correlation and Mantel's test.

Pairs of models are not independent, so the null renames the models of one side: all M! ways up to six models, else 999
seeded ones. The mean over all of them is 0 exactly.

Reference: N. Mantel (1967), "The detection of disease clustering and a generalized regression approach".
"""

from __future__ import annotations

from itertools import permutations

import numpy as np

MOST_EXACT, DRAWS = 6, 999


def pair_ranks(matrix: np.ndarray) -> np.ndarray:
    """Symmetric (M, M) of the midranks of the entries above the diagonal, centred; 0 on the diagonal."""
    from scipy.stats import rankdata

    i, j = np.triu_indices(len(matrix), 1)
    ranks = rankdata(matrix[i, j])
    out = np.zeros(matrix.shape)
    out[i, j] = out[j, i] = ranks - ranks.mean()
    return out


def pair_correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's correlation over the pairs of two symmetric matrices (M, M); None where one side does not vary."""
    x, y = pair_ranks(a), pair_ranks(b)
    scale = np.sqrt((x * x).sum() * (y * y).sum())
    return float((x * y).sum() / scale) if scale > 1e-12 else None


def renamed(a: np.ndarray, b: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """The correlation (draws,) with the models of `b` renamed, and whether these are all ways there are, the identity
    among them."""
    m = len(a)
    x, y = pair_ranks(a), pair_ranks(b)
    scale = np.sqrt((x * x).sum() * (y * y).sum())
    exact = m <= MOST_EXACT
    orders = permutations(range(m)) if exact else (rng.permutation(m) for _ in range(DRAWS))
    return np.array([(x * y[np.ix_(o, o)]).sum() / scale for o in map(list, orders)]), exact
