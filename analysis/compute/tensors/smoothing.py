"""Profiles along a mode that is ordered, such as positions or depth, as smooth functions (Gaussian processes).

    b(t) = m + GP,   K(t, t') = exp(-|t - t'| / ℓ),   posterior mean m + K (K + ν)⁻¹ (b - m), variance from the same

The exponential kernel is that of a first-order Markov process: on ordered points its inverse has three diagonals, and
the band widens with the distance to the nearest point. ℓ and ν are those that foretell profiles best at positions that
the factors never saw; where none does better than the profiles' mean, and than with places dealt anew, nothing is
smooth there.

After "Functional Bayesian Tucker decomposition for continuous-indexed tensor data", with point estimates for the other
modes in place of its posterior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.tensors.cp import Components, cp
from analysis.compute.tensors.products import column_products, unfolded

FOLDS, SWEEPS, DEALS = 4, 60, 8
NOISES = (
    1e-3,
    0.03,
    0.3,
    1.0,
)  # ν: share of a profile's variance about its mean that is no function of the position
FAR = 1e6  # a place that has no neighbours


@dataclass(frozen=True)
class Smoothness:
    """`scale` ℓ in steps of the mode and `noise` ν that foretold held-out places best; `error`: squares left there
    over those that the mean profile leaves (1: nothing was gained); `chance`: the least error where places were dealt
    anew, over several deals."""

    scale: float
    noise: float
    error: float
    chance: float

    @property
    def helps(self) -> bool:
        return self.error < min(1.0, self.chance)


def kernel(places: np.ndarray, others: np.ndarray, scale: float) -> np.ndarray:
    """(n, m) of places (n, c) and (m, c)."""
    apart = np.sqrt(((places[:, None] - others[None]) ** 2).sum(axis=2))
    return np.exp(-apart / scale)


def foretold(
    profiles: np.ndarray, places: np.ndarray, others: np.ndarray, scale: float, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean (m, k) at `others` (m, c) and its deviation (m, k), from profiles (n, k) at `places` (n, c)."""
    mean, deviation = profiles.mean(axis=0), profiles.std(axis=0)
    known = kernel(places, places, scale) + noise * np.eye(len(places))
    across = kernel(others, places, scale)
    solved = np.linalg.solve(known, across.T).T
    variance = np.maximum(1 - (solved * across).sum(axis=1), 0)
    return mean + solved @ (profiles - mean), np.sqrt(variance)[:, None] * deviation


def chosen_smoothness(
    x: np.ndarray, k: int, mode: int, places: np.ndarray, rng: np.random.Generator, nonnegative=()
) -> Smoothness:
    """By leaving out a quarter of the places at a time, fitting the others, and foretelling the profiles there."""
    size = x.shape[mode]
    spread = np.ptp(places[np.abs(places).max(axis=1) < FAR / 2], axis=0).max()
    scales = np.unique(np.geomspace(1, max(2.0, 2 * spread), 6).round(2))
    dealt = [places, *(places[rng.permutation(size)] for _ in range(DEALS))]
    errors, plain = np.zeros((len(dealt), len(scales), len(NOISES))), 0.0
    for held in np.array_split(rng.permutation(size), FOLDS):
        kept = np.setdiff1d(np.arange(size), held)
        found = cp(np.take(x, kept, axis=mode), k, rng, nonnegative=nonnegative, starts=1, sweeps=SWEEPS)
        own = np.take(x, held, axis=mode)
        weighted, at = list(found.weighted()), found.factors[mode]
        left = _quadratic(own, weighted, mode)
        plain += left(np.repeat(at.mean(axis=0)[None], len(held), axis=0))
        for at_places, table in zip(dealt, errors, strict=True):
            for i, scale in enumerate(scales):
                for j, noise in enumerate(NOISES):
                    table[i, j] += left(foretold(at, at_places[kept], at_places[held], scale, noise)[0])
    share = errors / max(plain, np.finfo(float).tiny)
    i, j = np.unravel_index(share[0].argmin(), share[0].shape)
    return Smoothness(float(scales[i]), NOISES[j], float(share[0, i, j]), float(share[1:].min()))


def _quadratic(x: np.ndarray, weighted: list[np.ndarray], mode: int):
    """Squares that profiles (size, k) along a mode leave of `x`, the other factors as they are, without the array."""
    others = [f for i, f in enumerate(weighted) if i != mode]
    total, gram = float((x**2).sum()), np.prod([f.T @ f for f in others], axis=0)
    products = unfolded(x, mode) @ column_products(others)

    def left(profiles: np.ndarray) -> float:
        inner = float((products * profiles).sum())
        return total - 2 * inner + float((gram * (profiles.T @ profiles)).sum())

    return left


def smoothed(
    x: np.ndarray, found: Components, mode: int, places: np.ndarray, chosen: Smoothness, nonnegative=()
) -> tuple[Components, np.ndarray]:
    """Components with smooth profiles along a mode, and their deviations (size, k) on the scale of the profiles; the
    first mode is fitted anew to them, so that nothing but the profiles' roughness is lost."""
    profiles, deviation = foretold(found.factors[mode], places, places, chosen.scale, chosen.noise)
    profiles = np.maximum(profiles, 0) if mode in nonnegative else profiles
    length = np.sqrt((profiles**2).sum(axis=0))
    length = np.where(length > 0, length, 1)
    factors = list(found.factors)
    factors[mode] = profiles / length
    others = column_products(factors[1:])
    gram = others.T @ others
    first = unfolded(x, 0) @ others @ np.linalg.pinv(gram)
    first = np.maximum(first, 0) if 0 in nonnegative else first
    weights = np.sqrt((first**2).sum(axis=0))
    factors[0] = first / np.where(weights > 0, weights, 1)
    left = float(((unfolded(x, 0) - first @ others.T) ** 2).sum())
    return Components(tuple(factors), weights, left, found.total, found.settled), deviation / length
