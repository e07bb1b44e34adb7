"""How alike two sets of maps are, position by position: unbiased CKA with positions x samples as rows, and samples as
what is independent.

Two maps X_i, Y_i (P, p), (P, q) of sample i; every position is centred over the samples. With the inner product of two
samples at two positions, K_ij = X_i X_jᵀ (P, P) and L_ij = Y_i Y_jᵀ,

    Σ_ij <K_ij, L_ij> = |Σ_i X_iᵀ Y_i|²

is what linear CKA of all rows compares. Pairs of positions of one sample depend on each other, so they are left out and
the rest is centred as in the unbiased HSIC (`hsic`), each of the P² entries of K for itself:

    U(X, Y) = |Σ X_iᵀ Y_i|² - n / (n - 2) Σ |X_iᵀ Y_i|² + <Σ X_i X_iᵀ, Σ Y_i Y_iᵀ> / ((n - 1) (n - 2))
    CKA = U(X, Y) / sqrt(U(X, X) U(Y, Y))

an inner product of unit vectors, so never beyond 1; for one position it is `hsic`'s. Its population value is that of
the covariances added over positions, |Σ_p C_xy|² / (|Σ_p C_xx| |Σ_p C_yy|).

Null: the samples of one side exchanged, the positions staying where they are. Every entry of the centred K splits
into a symmetric and an antisymmetric matrix with zero rows, whose spaces are irreducible under exchanges and have
n (n - 3) / 2 and (n - 1) (n - 2) / 2 dimensions (Schur): the mean is exactly 0, the variance of CKA *at most*
2 / (n (n - 3)).

References: L. Song et al. (2012); S. Kornblith et al. (2019); G. Székely & M. Rizzo (2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.compute.similarity.hsic import FEWEST, ROUNDING, alignment, null_deviation
from analysis.compute.similarity.similarity_grid import Grid, Pair, compared, groups_of
from analysis.spec import Progress, no_progress


@dataclass(frozen=True)
class MapSide:
    """`maps` (n, P, d), each position centred over the samples; `grams` (n, P, P) of each sample with itself; of every
    group of samples: `members`, `sums` (G, P, d) and `gram_sums` (G, P, P); `own` (1 + G,) U with itself, of all
    samples and without each group."""

    maps: np.ndarray
    grams: np.ndarray
    members: tuple[np.ndarray, ...]
    sums: np.ndarray
    gram_sums: np.ndarray
    own: np.ndarray


def map_side(maps: np.ndarray, group: np.ndarray) -> MapSide:
    """Of maps (n, P, d) in groups (n,). Time O(n P² d), memory O(n P (P + d))."""
    maps = maps - maps.mean(axis=0)
    largest = np.abs(maps).max(initial=0.0)
    if largest > 0:
        maps /= largest  # its scale does not matter, its fourth power could overflow
    grams = maps @ maps.transpose(0, 2, 1)
    members = tuple(np.flatnonzero(group == g) for g in range(int(group.max()) + 1))
    sums = np.array([maps[rows].sum(axis=0) for rows in members])
    gram_sums = np.array([grams[rows].sum(axis=0) for rows in members])
    bare = MapSide(maps, grams, members, sums, gram_sums, np.empty(0))
    squares, unbiased = _inner(bare, bare)
    unbiased[unbiased <= ROUNDING * squares] = (
        0.0  # what rounding leaves of no difference between pairs is none
    )
    return MapSide(maps, grams, members, sums, gram_sums, unbiased)


def inner(one: MapSide, other: MapSide) -> np.ndarray:
    """U (1 + G,) of all samples, then without each group. Time O(n P p q), memory O(p q).

    Without a group the positions are centred again, but for the small term of each sample with itself, where that
    changes an interval by less than 1 / n of its width.
    """
    return _inner(one, other)[1]


def _inner(one: MapSide, other: MapSide) -> tuple[np.ndarray, np.ndarray]:
    """|Σ X_iᵀ Y_i|² and U, of all samples, then without each group."""
    n, p, q = len(one.maps), one.maps.shape[2], other.maps.shape[2]
    crosses = [one.maps[rows].reshape(-1, p).T @ other.maps[rows].reshape(-1, q) for rows in one.members]
    whole = np.sum(crosses, axis=0)
    itself = np.einsum("ipq,ipq->i", one.grams, other.grams)
    grams = one.gram_sums.sum(axis=0), other.gram_sums.sum(axis=0)
    found = [(n, float(np.vdot(whole, whole)), float(itself.sum()), float(np.vdot(*grams)))]
    for g, rows in enumerate(one.members):
        left, s, t = n - len(rows), one.sums[g], other.sums[g]
        if left < 1:
            found.append((left, 0.0, 0.0, 0.0))
            continue
        rest = whole - crosses[g] - s.T @ t / left
        mine = [
            gram - side.gram_sums[g] - m @ m.T / left
            for gram, side, m in zip(grams, (one, other), (s, t), strict=True)
        ]
        found.append(
            (
                left,
                float(np.vdot(rest, rest)),
                float(itself.sum() - itself[rows].sum()),
                float(np.vdot(*mine)),
            )
        )
    count, squares, own, traces = np.array(found).T
    with np.errstate(divide="ignore", invalid="ignore"):
        unbiased = squares - count / (count - 2) * own + traces / ((count - 1) * (count - 2))
    return squares, np.where(count >= FEWEST, unbiased, np.nan)


def position_grid(
    maps: Sequence[np.ndarray],
    rows: np.ndarray,
    columns: np.ndarray,
    rng: np.random.Generator,
    *,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.3, 1.0),
) -> tuple[Grid, np.ndarray]:
    """The grid of all pairs of maps (n, P, d_i), and the length (k,) of each (0: nothing differs between samples)."""
    n, group = len(maps[0]), groups_of(len(maps[0]), rng)
    sides, part = [], 0.2 * (span[1] - span[0])
    for i, x in enumerate(maps):
        progress(span[0] + part * i / len(maps), "preparing maps")
        sides.append(map_side(x, group))

    def compare(a: MapSide, b: MapSide) -> Pair:
        series = alignment(inner(a, b), a.own, b.own)
        whole = series if np.isfinite(series).all() else series[:1]
        return Pair.with_moments(whole, 0.0, null_deviation(n))

    grid = compared(
        sides, compare, rows, columns, n=n, units=[x.shape[2] for x in maps], progress=progress,
        span=(span[0] + part, span[1]),
    )  # fmt: skip
    return grid, np.array([s.own[0] for s in sides])
