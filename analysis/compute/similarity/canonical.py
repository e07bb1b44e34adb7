"""Canonical correlations of two representations, of all samples and without each group of samples.

With orthonormal bases Q_X (n, p), Q_Y (n, q) of the centred representations, the canonical correlations ρ are the
singular values of C = Q_XᵀQ_Y, and Σ ρ² = |C|² needs none of them. Without a group of m samples, whose rows of Q are
Q_g with sum s, the others' cross product and scatter about their own mean are

    C_g = C - Q_XgᵀQ_Yg - s_X s_Yᵀ / (n - m),    S_g = I - Q_gᵀQ_g - s sᵀ / (n - m),

and with S_g = L Lᵀ their canonical correlations are the singular values of L_X⁻¹ C_g L_Y⁻ᵀ: what doing all of it
again without these samples would give, from r x r matrices. Directions that the group alone made are left out.

The basis: a QR factorisation and a singular value decomposition of its factor, so that no square is ever taken.
Directions whose singular value is below `tolerance` of the largest are rounding and left out.

References: H. Hotelling (1936), "Relations between two sets of variates"; Å. Björck & G. Golub (1973), "Numerical
methods for computing angles between linear subspaces".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from analysis.compute.linear.spectra import axes_for
from analysis.compute.statistics.exchange_moments import Centred
from analysis.compute.statistics.moments import is_varying
from analysis.errors import InputError

TOLERANCE = 1e-6  # of the largest singular value; float32 rounds at 6e-8
VANISHED = 1e-9  # of a direction's squares left without a group, below which the group alone made it


@dataclass(frozen=True)
class Span:
    """What a representation spans: `basis` (n, r) orthonormal and centred, along falling `singular` values (r,) in an
    arbitrary unit. Of `units`, how many are `constant`; of the directions, how many `rounding` left out; the `share`
    of the variance that the r kept ones hold. `weights` (d, r), where asked for: basis = (x - mean) weights."""

    basis: np.ndarray
    singular: np.ndarray
    units: int
    constant: int
    rounding: int
    share: float
    weights: np.ndarray | None = None

    @property
    def rank(self) -> int:
        return len(self.singular)


def span_of(
    x: np.ndarray,
    name: str,
    *,
    tolerance: float = TOLERANCE,
    variance: float | None = None,
    weights: bool = False,
) -> Span:
    """The span of the units of `x` (n, d).

    variance : the leading directions that hold this share of the variance of the units as they are; None: all that
        are not rounding, judged with every unit at deviation 1, which no canonical correlation sees.

    Time O(n d min(n, d)), memory O(n d). Raises InputError where no unit varies.
    """
    largest = np.abs(x).max(initial=0.0)
    x = x / (largest if largest > 0 else 1.0)
    mean = x.mean(axis=0)
    x -= mean
    spread = np.sqrt(np.einsum("ij,ij->j", x, x) / len(x))
    varies = is_varying(spread**2, mean)
    if not varies.any():
        raise InputError(f"every unit of {name} is constant", "activations that differ", "Choose another tap")
    x = x[:, varies]
    scale = spread[varies] if variance is None else np.ones(x.shape[1])
    x /= scale
    basis, singular = _decomposed(x)
    real = int((singular > tolerance * singular[0]).sum())
    kept = real if variance is None else min(axes_for(singular**2, variance), real)
    share = float((singular[:kept] ** 2).sum() / (singular**2).sum())
    basis, singular, found = basis[:, :kept], singular[:kept], None
    if weights:
        found = np.zeros((len(varies), kept))
        found[varies] = x.T @ (basis / singular**2) / (scale[:, None] * largest)
    basis = basis - basis.mean(axis=0)  # small directions keep a little of the mean by rounding
    rounding = max(min(len(x) - 1, x.shape[1]) - real, 0)
    return Span(basis, singular, len(varies), int((~varies).sum()), rounding, share, found)


def _decomposed(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left singular vectors (n, min(n, d)) and singular values, falling."""
    if len(x) > x.shape[1]:
        q, r = np.linalg.qr(x)
        u, s, _ = np.linalg.svd(r)
        return q @ u, s
    r = np.linalg.qr(x.T, mode="r")
    u, s, _ = np.linalg.svd(r.T, full_matrices=False)
    return u, s


@dataclass(frozen=True)
class Side:
    """A span cut into G groups of samples: `parts`, rows of the basis of each; their `sums` (G, r); `whiteners`, one
    (r, r_g) for the samples outside each group, W with Wᵀ S_g W = I. `gram` for the exchange of samples; `extra`
    whatever a measure needs besides."""

    span: Span
    parts: tuple[np.ndarray, ...]
    sums: np.ndarray
    whiteners: tuple[np.ndarray, ...]
    gram: Centred
    extra: object = None

    @property
    def n(self) -> int:
        return self.gram.n

    @property
    def rank(self) -> int:
        return self.span.rank

    def scatter(self, g: int) -> np.ndarray:
        """S_g (r, r) of the samples outside group g."""
        return _scatter(self.parts[g], self.sums[g], self.n)


def side_of(span: Span, group: np.ndarray, extra: object = None) -> Side:
    """`group` (n,) numbers 0 .. G - 1. Time O(n r² + G r³), memory O(n r + G r²)."""
    parts = tuple(span.basis[group == g] for g in range(group.max() + 1))
    sums = np.array([p.sum(axis=0) for p in parts])
    whiteners = tuple(whitener(_scatter(p, s, len(group))) for p, s in zip(parts, sums, strict=True))
    return Side(span, parts, sums, whiteners, Centred.of_projection(span.basis), extra)


def _scatter(part: np.ndarray, total: np.ndarray, n: int) -> np.ndarray:
    out = -(part.T @ part) - np.outer(total, total) / (n - len(part))
    out[np.diag_indices_from(out)] += 1.0
    return out


def whitener(scatter: np.ndarray) -> np.ndarray:
    """W (r, r') with Wᵀ S W = I, without the directions in which S vanishes."""
    try:
        lower = np.linalg.cholesky(scatter)
        if np.diag(lower).min() ** 2 > VANISHED:
            return solve_triangular(lower, np.eye(len(lower)), lower=True, check_finite=False).T
    except np.linalg.LinAlgError:
        pass
    values, vectors = np.linalg.eigh(scatter)
    kept = values > VANISHED
    return vectors[:, kept] / np.sqrt(values[kept])


def cross_products(one: Side, other: Side) -> tuple[np.ndarray, list[np.ndarray]]:
    """C (p, q) of all samples, and W_Xᵀ C_g W_Y of the samples outside each group. Time O(n p q + G p q (p + q))."""
    crosses = [x.T @ y for x, y in zip(one.parts, other.parts, strict=True)]
    whole = np.sum(crosses, axis=0)
    out = []
    for g, cross in enumerate(crosses):
        rest = whole - cross - np.outer(one.sums[g], other.sums[g]) / (one.n - len(one.parts[g]))
        out.append(one.whiteners[g].T @ rest @ other.whiteners[g])
    return whole, out


def correlations(cross: np.ndarray) -> np.ndarray:
    """ρ (min(p, q),), falling."""
    return np.minimum(np.linalg.svd(cross, compute_uv=False), 1.0)


def mean_squared(cross: np.ndarray) -> float:
    """Mean ρ² of a cross product of orthonormal bases; NaN where a side is empty."""
    return min(float(np.vdot(cross, cross)) / min(cross.shape), 1.0) if min(cross.shape) else np.nan


def mean_correlation(cross: np.ndarray) -> float:
    """Mean ρ; NaN where a side is empty."""
    return float(correlations(cross).mean()) if min(cross.shape) else np.nan


def whole_series(values: list[float]) -> np.ndarray:
    """A value of all samples and those without each group, (1 + G,); NaN after the first where a group leaves
    nothing."""
    found = np.array(values, dtype=np.float64)
    if not np.isfinite(found).all():
        found[1:] = np.nan
    return found


def forced(p: int, q: int, n: int) -> int:
    """How many correlations of p and q dimensions are 1 for any n samples: two subspaces of n - 1 dimensions meet."""
    return max(p + q - (n - 1), 0)
