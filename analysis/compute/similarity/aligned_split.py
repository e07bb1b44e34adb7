"""Two representations brought together on some samples, and seen on others.

Shared directions: canonical correlation analysis of the training samples, each side first cut down to the directions
with a share of its variance. Full space: the least-squares affine map of one side onto the other, with nothing left
out. Neither has seen the test samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.similarity.canonical import span_of


@dataclass(frozen=True)
class Aligned:
    """Of m test samples: scores `x`, `y` (m, k) along k shared directions, the most correlated first, each of
    deviation 1 on the training samples; `rho` (k,) their correlations there. Full space: `plain` (m, p) and `target`
    (m, q), the test samples as they are but for the training mean, and `mapped` (m, q), the image of x. `ranks`: kept
    dimensions."""

    x: np.ndarray
    y: np.ndarray
    rho: np.ndarray
    plain: np.ndarray
    mapped: np.ndarray
    target: np.ndarray
    ranks: tuple[int, int]


def aligned(
    x: np.ndarray, y: np.ndarray, test: np.ndarray, variance: float | None, names: tuple[str, str]
) -> Aligned:
    """`x` (n, p), `y` (n, q); `test` (n,) bool; `variance` as `span_of` has it. Time O(n d min(n, d)) for each side."""
    one, other = (_placed(v, test, variance, name) for v, name in zip((x, y), names, strict=True))
    whole = one if variance is None else _placed(x, test, None, names[0])
    u, rho, vt = np.linalg.svd(one.basis.T @ other.basis, full_matrices=False)
    scale = np.sqrt((~test).sum() - 1)
    plain, target = (v - v[~test].mean(axis=0) for v in (x, y))
    mapped = whole.seen @ (whole.basis.T @ target[~test])
    ranks = one.basis.shape[1], other.basis.shape[1]
    seen = scale * one.seen @ u, scale * other.seen @ vt.T
    return Aligned(*seen, np.minimum(rho, 1.0), plain[test], mapped, target[test], ranks)


@dataclass(frozen=True)
class _Placed:
    """The orthonormal `basis` (n, r) of the training samples and the test samples `seen` (m, r) along it."""

    basis: np.ndarray
    seen: np.ndarray


def _placed(x: np.ndarray, test: np.ndarray, variance: float | None, name: str) -> _Placed:
    train = x[~test]
    span = span_of(train, name, variance=variance, weights=True)
    return _Placed(span.basis, (x[test] - train.mean(axis=0)) @ span.weights)
