"""How alike two representations of the same samples are, by their Gram matrices, without ever making these.

K = X Xᵀ and L = Y Yᵀ of centred X (n, p), Y (n, q), with diagonals k and l. The biased inner product is
<K, L> = |XᵀY|²; the unbiased one leaves the diagonals out and centres what remains (U-centring, Székely & Rizzo 2014):

    U(X, Y) = |XᵀY|² - n / (n - 2) Σ k_i l_i + Σ k_i Σ l_i / ((n - 1) (n - 2)),    HSIC = U / (n (n - 3))

and CKA = U(X, Y) / sqrt(U(X, X) U(Y, Y)), an inner product of unit vectors and so never beyond 1.

Null: when the samples of one side are exchanged, U has mean exactly 0 and CKA a variance of exactly 2 / (n (n - 3)),
whatever the data; so P(CKA >= c) <= s² / (s² + c²) with that variance s² (Cantelli), without any assumption. The
biased CKA has the exact mean tr K tr L / ((n - 1) |K| |L|) instead.

Intervals: delete-a-group jackknife; all groups together cost one product more.

References: L. Song et al. (2012), "Feature selection via dependence maximization" (unbiased HSIC); S. Kornblith et al.
(2019); G. Székely & M. Rizzo (2014); F. Kazi-Aoual et al. (1995) for moments under exchange.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

FEWEST = 4  # samples: below, nothing is left after U-centring
GROUPS = 10
ROUNDING = 1e-12  # of the biased inner product


@dataclass(frozen=True)
class Side:
    """One representation: `parts`, centred features of each group of samples (n_g, r), r <= n; without each group, the
    `shift` (G, r) of the mean; and squared `norms` of all rows about the mean, first of all samples, then of those
    outside each group."""

    parts: tuple[np.ndarray, ...]
    shift: np.ndarray
    norms: tuple[np.ndarray, ...]

    @property
    def n(self) -> int:
        return len(self.norms[0])


@dataclass(frozen=True)
class Inner:
    """Inner products of two sides on all `n` samples, then without each group, (1 + G,): `biased` and `unbiased`; and
    `traces`, tr K tr L on all samples."""

    biased: np.ndarray
    unbiased: np.ndarray
    traces: float
    n: int


def groups_of(n: int, rng: np.random.Generator) -> np.ndarray:
    """Group (n,) of each sample for the jackknife, at random: ten groups, or one sample each below 20."""
    return rng.permutation(np.arange(n) % (GROUPS if n >= 2 * GROUPS else n))


def side_of(x: np.ndarray, group: np.ndarray) -> Side:
    """`x` (n, d) in groups. With more units than samples, n features with the same Gram matrix stand for them.
    Time O(n d min(n, d)) then, O(n d) otherwise."""
    centred = x - x.mean(axis=0)
    largest = np.abs(centred).max(initial=0.0)
    centred /= largest if largest > 0 else 1.0  # its scale does not matter, its fourth power could overflow
    if centred.shape[1] > len(centred):
        centred = np.linalg.qr(centred.T, mode="r").T
    parts = tuple(centred[group == g] for g in range(group.max() + 1))
    shift = np.array([-p.sum(axis=0) / (len(x) - len(p)) for p in parts])
    own = [np.einsum("ij,ij->i", p, p) for p in parts]
    norms = [np.concatenate(own)]
    for g, a in enumerate(shift):
        moved = [k - 2 * (p @ a) + a @ a for j, (p, k) in enumerate(zip(parts, own, strict=True)) if j != g]
        norms.append(np.concatenate(moved))
    return Side(parts, shift, tuple(norms))


def inner(one: Side, other: Side) -> Inner:
    """Time O(n p q), memory O(G p q)."""
    crosses = [x.T @ y for x, y in zip(one.parts, other.parts, strict=True)]
    biased = _squares(crosses, one, other)
    unbiased = np.array([_unbiased(*v) for v in zip(biased, one.norms, other.norms, strict=True)])
    if one is other:  # what rounding leaves of equal distances is no length
        unbiased[unbiased <= ROUNDING * biased] = 0.0
    return Inner(biased, unbiased, float(one.norms[0].sum() * other.norms[0].sum()), one.n)


def _squares(crosses: list[np.ndarray], one: Side, other: Side) -> np.ndarray:
    """|XᵀY|² (1 + G,) of all samples, then without each group: the rest's product is C - C_g - m a bᵀ for m samples
    whose means moved by a and b."""
    whole = np.sum(crosses, axis=0)
    out = [np.vdot(whole, whole)]
    for part, cross, a, b in zip(one.parts, crosses, one.shift, other.shift, strict=True):
        m = one.n - len(part)
        rest = whole - cross
        out.append(np.vdot(rest, rest) - 2 * m * (a @ rest @ b) + m**2 * (a @ a) * (b @ b))
    return np.maximum(out, 0.0)


def _unbiased(biased: float, k: np.ndarray, l: np.ndarray) -> float:  # noqa: E741
    n = len(k)
    if n < FEWEST:
        return np.nan
    return biased - n / (n - 2) * float(k @ l) + float(k.sum()) * float(l.sum()) / ((n - 1) * (n - 2))


def null_deviation(n: int) -> float:
    """Standard deviation of the unbiased CKA when samples are exchanged, exact for any data."""
    return float(np.sqrt(2 / (n * (n - 3))))


def null_p(cka: np.ndarray, n: int) -> np.ndarray:
    """Upper bound (Cantelli) of the chance that exchanged samples give as much; 1 for values at or below 0."""
    cka = np.maximum(np.asarray(cka, dtype=np.float64), 0.0)
    variance = null_deviation(n) ** 2
    return variance / (variance + cka**2)


def alignment(cross: np.ndarray, own: np.ndarray, others: np.ndarray) -> np.ndarray:
    """CKA (1 + G,) from inner products; 0 where one side has none with itself (all of its distances are equal), NaN
    where samples are too few."""
    scale = np.sqrt(np.maximum(own, 0.0) * np.maximum(others, 0.0))
    return np.clip(np.divide(cross, scale, out=0 * cross, where=scale > 0), -1.0, 1.0)


def jackknife_half(values: np.ndarray) -> float | None:
    """Half-width of the 95 % interval of values[0] from values[1:], those without each group; None where they cannot be
    had."""
    without = values[1:]
    g = len(without)
    if g < 3 or not np.isfinite(without).all():
        return None
    spread = (g - 1) / g * float(((without - without.mean()) ** 2).sum())
    return float(stdtrit(g - 1, 0.975) * np.sqrt(spread))
