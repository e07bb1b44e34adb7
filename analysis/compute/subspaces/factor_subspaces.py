"""A subspace for each known factor, all orthogonal to each other, and how far moves inside one carry the read-outs of
all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.ridge_probe import ridge_weights
from analysis.compute.rows.known_factors import Factor
from analysis.compute.subspaces.attribute_axes import separate_subspaces
from analysis.compute.subspaces.edit_effects import real_directions
from analysis.spec import Progress

EXCHANGES, DRAWS = 19, 200


@dataclass(frozen=True)
class FactorMoves:
    """`values` (p, p) root mean square move of the read-outs of factor j along one deviation in subspace i;
    `coordinates` (p, p), |U_iᵀ U_j| / sqrt(k_i); `sizes` (p,) dimensions."""

    values: np.ndarray
    coordinates: np.ndarray
    sizes: tuple[int, ...]

    @property
    def dominance(self) -> float:
        return float(dominance(self.values))


def factor_basis(
    x: np.ndarray, factor: Factor, at: np.ndarray, directions: int, rng: np.random.Generator
) -> np.ndarray:
    """(d, k) orthonormal: `group_directions` of the factor's classes, or of `directions` + 1 quantiles of a number, of
    the samples `at` of `x` (n, d)."""
    return group_directions(x[at], _groups(factor, directions)[at], directions, rng)


def group_directions(
    x: np.ndarray, groups: np.ndarray, directions: int, rng: np.random.Generator
) -> np.ndarray:
    """(d, k) orthonormal: the leading directions in which the means of `groups` (n,) of `x` (n, d) differ. A direction
    counts where its singular value exceeds the largest of every one of 19 exchanges of the groups (level 1/20), the
    first in any case; at most `directions`, and one fewer than there are groups."""
    x = x - x.mean(axis=0)
    left, s, _ = np.linalg.svd(_scaled_means(x, groups).T, full_matrices=False)
    largest = max(np.linalg.norm(_scaled_means(x, rng.permutation(groups)), 2) for _ in range(EXCHANGES))
    most = min(directions, len(np.unique(groups)) - 1, int((s > largest).sum()))
    return left[:, : max(most, 1)]


def _scaled_means(x: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(groups, d) means of centred `x`, each times the square root of its samples."""
    counts = np.bincount(groups)
    return (groups == np.arange(len(counts))[:, None]) @ x / np.sqrt(np.maximum(counts, 1))[:, None]


def _groups(factor: Factor, directions: int) -> np.ndarray:
    if not factor.is_number:
        return factor.of
    edges = np.quantile(factor.values, np.arange(1, directions + 1) / (directions + 1))
    return np.searchsorted(edges, factor.values, side="left")


def factor_moves(
    x: np.ndarray, factors: Sequence[Factor], fitted: np.ndarray, read: np.ndarray, directions: int, seed: int
) -> tuple[FactorMoves, list[np.ndarray], list[np.ndarray]]:
    """Subspaces from the samples `fitted` of centred `x` (n, d), read-outs from `read`; also the bases (d, k_i) and
    the weights (d, c_j) of the standardised targets. Raises InputError where the subspaces meet."""
    rng = np.random.default_rng(seed)
    bases = separate_subspaces([factor_basis(x, f, fitted, directions, rng) for f in factors])
    weights = [ridge_weights(x[read], _standardised(f, read)) for f in factors]
    return moves_of(covariance(x[fitted]), bases, weights), bases, weights


def _standardised(factor: Factor, at: np.ndarray) -> np.ndarray:
    y = factor.targets()[at]
    y = y - y.mean(axis=0)
    return y / np.maximum(y.std(axis=0), 1e-300)


def covariance(x: np.ndarray) -> np.ndarray:
    x = x - x.mean(axis=0)
    return x.T @ x / len(x)


def moves_of(spread: np.ndarray, bases: Sequence[np.ndarray], weights: Sequence[np.ndarray]) -> FactorMoves:
    """Of given bases and weights; one deviation is that of data of the covariance `spread` (d, d) along a random
    direction of the subspace."""
    values = np.empty((len(bases), len(weights)))
    coordinates = np.empty((len(bases), len(bases)))
    for i, basis in enumerate(bases):
        k = basis.shape[1]
        step = np.sqrt(max(float(np.sum(basis * (spread @ basis))), 0.0) / k)
        for j, w in enumerate(weights):
            values[i, j] = step * np.linalg.norm(basis.T @ w) / np.sqrt(k * w.shape[1])
        coordinates[i] = [np.linalg.norm(basis.T @ other) / np.sqrt(k) for other in bases]
    return FactorMoves(values, coordinates, tuple(b.shape[1] for b in bases))


def random_bases(x: np.ndarray, sizes: Sequence[int], rng: np.random.Generator) -> list[np.ndarray]:
    """Subspaces (d, k_i), orthogonal to each other, spanned by random moves from one sample of `x` (n, d) to
    another."""
    frame = np.linalg.qr(real_directions(x, int(sum(sizes)), rng).T)[0]
    return np.split(frame, np.cumsum(sizes)[:-1], axis=1)


def moves_by_chance(
    x: np.ndarray, halves, sizes: tuple[int, ...], read_outs, rng: np.random.Generator, progress: Progress
) -> np.ndarray:
    """(draws, p, p) moves inside random subspaces of these sizes, mean over both `halves` of `x` (n, d) with the
    read-outs of each."""
    spreads = [covariance(x[h]) for h in halves]
    out = []
    for i in range(DRAWS):
        if i % 20 == 0:
            progress(0.7 + 0.3 * i / DRAWS, "drawing random subspaces")
        bases = random_bases(x, sizes, rng)
        out.append(
            np.mean([moves_of(s, bases, w).values for s, w in zip(spreads, read_outs, strict=True)], axis=0)
        )
    return np.array(out)


def dominance(values: np.ndarray) -> np.ndarray:
    """Of moves (…, p, p): the diagonal's share of the sum."""
    return np.trace(values, axis1=-2, axis2=-1) / values.sum(axis=(-2, -1))
