"""Principal angles between uniformly random subspaces: what subspaces that have nothing to do with each other give.

One of the two may be held fixed, say the first p of d coordinates. The other is the column space of Gaussian numbers
G (d, q), so cos θ are the singular values of the first p rows of the orthonormal factor of G = Q R. The other d - p rows
enter by their Gram matrix only, a Wishart matrix, whose Cholesky factor Bartlett's decomposition draws without the rows:
O((p + q) q²) for a draw, whatever d is. As d grows with p / d and q / d fixed the cosines follow Wachter's law (1980),
which is to canonical correlations what Marchenko and Pastur's is to eigenvalues.

References: M. Bartlett (1933); K. Wachter (1980), "The limiting empirical measure of multiple discriminant ratios";
P.-A. Absil, A. Edelman & P. Koev (2006), "On the largest principal angle between random subspaces".
"""

from __future__ import annotations

import numpy as np

DRAWS = 200
WORK = 2e9  # operations that the draws for one pair of dimensions may take


def draws_for(p: int, q: int) -> int:
    """How many draws: 200, and fewer (at least 20) for wide subspaces, whose angles vary little."""
    small, large = sorted((p, q))
    return int(np.clip(WORK / (10.0 * (small + large) * small**2), 20, DRAWS))


def random_angles(p: int, q: int, d: int, rng: np.random.Generator, draws: int | None = None) -> np.ndarray:
    """(draws, min(p, q)) rising angles between a `p`- and a `q`-dimensional random subspace of `d` dimensions."""
    p, q = max(p, q), min(p, q)
    found = np.empty((draws_for(p, q) if draws is None else draws, q))
    for i in range(len(found)):
        stacked = np.vstack([rng.standard_normal((p, q)), _wishart_factor(q, d - p, rng)])
        cosines = np.linalg.svd(np.linalg.qr(stacked)[0][:p], compute_uv=False)
        found[i] = np.arccos(np.clip(cosines, 0.0, 1.0))
    return found


def _wishart_factor(q: int, freedom: int, rng: np.random.Generator) -> np.ndarray:
    """Upper-trapezoidal R (min(q, freedom), q) with RᵀR as of `freedom` rows of q independent standard Gaussians."""
    k = min(q, freedom)
    factor = np.triu(rng.standard_normal((k, q)), 1)
    factor[np.arange(k), np.arange(k)] = np.sqrt(rng.chisquare(freedom - np.arange(k)))
    return factor


def random_basis(d: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """(d, k) orthonormal columns of a uniformly random subspace."""
    return np.linalg.qr(rng.standard_normal((d, k)))[0]
