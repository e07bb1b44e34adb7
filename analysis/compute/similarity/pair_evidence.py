"""The cosine of two samples as a sum of evidence: over pairs of their tokens, over tokens of one, over units.

With tokens x_p (p = 1 … P) and y_q (q = 1 … Q), means f and g, a cosine of means is a sum without a rest:

    cos(f, g) = Σ_pq <x_p, y_q> / (P Q |f| |g|) = Σ_j f_j g_j / (|f| |g|)

With features, f = Σ_j c_j d_j + e and g likewise, each speaks by half from either side, and what no feature holds is a
part of its own, so that exchanging the samples changes nothing:

    part_j = (c_j(x) <d_j, g> + c_j(y) <d_j, f>) / (2 |f| |g|)
"""

from __future__ import annotations

import numpy as np

from analysis.errors import InputError


def norms(f: np.ndarray) -> np.ndarray:
    """Lengths over the last axis. Raises InputError where one is 0."""
    length = np.linalg.norm(f, axis=-1)
    if not (length > 0).all():
        raise InputError(
            "a sample whose pooled activation is zero, which has no direction",
            "samples that are not zero",
            "Choose another sample, or another centring",
        )
    return length


def token_evidence(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(P, Q) of tokens `x` (P, d) and `y` (Q, d): sums to the cosine of their means. O(P Q d)."""
    f, g = x.mean(axis=0), y.mean(axis=0)
    return x @ y.T / (len(x) * len(y) * norms(f) * norms(g))


def tokens_against(x: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(m, P): what each token of `x` (P, d) adds to the cosine with each of the pooled `others` (m, d)."""
    return others @ x.T / (len(x) * norms(x.mean(axis=0)) * norms(others)[:, None])


def units_against(f: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(m, d): what each unit adds to the cosine of `f` (d,) with each of `others` (m, d)."""
    return f * others / (norms(f) * norms(others)[:, None])


def features_against(
    codes: np.ndarray, other_codes: np.ndarray, directions: np.ndarray, f: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """(m, k + 1): what each feature adds, last what none holds; `codes` (k,) of `f` (d,), `other_codes` (m, k) of
    `others` (m, d), `directions` (k, d). O(m k d)."""
    size = norms(f) * norms(others)
    parts = (codes * (others @ directions.T) + other_codes * (directions @ f)) / (2 * size[:, None])
    return np.column_stack([parts, others @ f / size - parts.sum(axis=1)])


def cosines(f: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(m,)"""
    return others @ f / (norms(f) * norms(others))


def usable(pooled: np.ndarray) -> np.ndarray:
    """(n,) bool: pooled samples (n, d) that have a direction."""
    length = np.linalg.norm(pooled, axis=1)
    return length > 1e-12 * max(float(length.max(initial=0.0)), 1e-300)
