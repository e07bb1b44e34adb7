"""Principal angles between uniformly random subspaces: what subspaces that have nothing to do with each other give.

One of the two may be held fixed, say the first p of d coordinates. The other is the column space of Gaussian numbers
G (d, q), so cos θ are the singular values of the first p rows of the orthonormal factor of G = Q R. The other d - p
rows enter by their Gram matrix only, a Wishart matrix, whose Cholesky factor Bartlett's decomposition draws without
the rows: O((p + q) q²) for a draw, whatever d is. As d grows with p / d and q / d fixed the cosines follow Wachter's
law (1980), which is to canonical correlations what Marchenko and Pastur's is to eigenvalues.

References: M. Bartlett (1933); K. Wachter (1980), "The limiting empirical measure of multiple discriminant ratios";
P.-A. Absil, A. Edelman & P. Koev (2006), "On the largest principal angle between random subspaces".
"""

from __future__ import annotations

import numpy as np
from scipy.special import betainc

from analysis.compute.statistics.exchange_moments import cantelli_p
from analysis.compute.subspaces.angles import overlap, overlap_by_chance

DRAWS, FEWEST_DRAWS = 1000, 200
WORK = 5e9  # operations that the draws for one pair of dimensions may take
BLOCK = 1 << 20  # numbers at a time


def draws_for(p: int, q: int) -> int:
    """How many draws: 1,000, and fewer (at least 20) for wide subspaces, whose angles vary little."""
    small, large = sorted((p, q))
    return int(np.clip(WORK / (10.0 * (small + large) * small**2), 20, DRAWS))


def random_angles(p: int, q: int, d: int, rng: np.random.Generator, draws: int | None = None) -> np.ndarray:
    """(draws, min(p, q)) rising angles between a `p`- and a `q`-dimensional random subspace of `d` dimensions."""
    p, q = max(p, q), min(p, q)
    draws = draws_for(p, q) if draws is None else draws
    step, found = max(1, BLOCK // ((p + q) * q)), np.empty((draws, q))
    for start in range(0, draws, step):
        m = min(step, draws - start)
        stacked = np.concatenate([rng.standard_normal((m, p, q)), _wishart_factors(m, q, d - p, rng)], axis=1)
        cosines = np.linalg.svd(np.linalg.qr(stacked)[0][:, :p], compute_uv=False)
        found[start : start + m] = np.arccos(np.clip(cosines, 0.0, 1.0))
    return found


def _wishart_factors(draws: int, q: int, freedom: int, rng: np.random.Generator) -> np.ndarray:
    """`draws` upper-trapezoidal R (min(q, freedom), q), RᵀR as of `freedom` rows of q independent Gaussians."""
    k = min(q, freedom)
    factors = np.triu(rng.standard_normal((draws, k, q)), 1)
    factors[:, np.arange(k), np.arange(k)] = np.sqrt(rng.chisquare(freedom - np.arange(k), size=(draws, k)))
    return factors


def overlap_p(value: np.ndarray, p: int, q: int, d: int, angles: np.ndarray) -> np.ndarray:
    """Chance of an overlap Σ cos² θ / min(p, q) of `value` or more between random subspaces, shaped as `value`: exact
    where one is a line (cos² is beta distributed), else from drawn `angles`, Cantelli's bound where these are few."""
    value, wide = np.asarray(value, dtype=np.float64), max(p, q)
    if wide == d:
        return np.ones_like(value)
    if min(p, q) == 1:
        return betainc((d - wide) / 2, wide / 2, 1.0 - np.clip(value, 0.0, 1.0))
    if len(angles) < FEWEST_DRAWS:
        return cantelli_p(value, *overlap_by_chance(p, q, d))
    drawn = np.sort(overlap(angles))
    return (1 + len(drawn) - np.searchsorted(drawn, value - 1e-12)) / (1 + len(drawn))


def random_basis(d: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """(d, k) orthonormal columns of a uniformly random subspace."""
    return np.linalg.qr(rng.standard_normal((d, k)))[0]
