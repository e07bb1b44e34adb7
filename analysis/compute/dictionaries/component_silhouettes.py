"""Components of repeated fits, put into clusters that hold one of each fit, and how well these are apart.

Silhouette of a component: (b - a) / max(a, b), a its mean distance to its own cluster and b to the nearest other one;
distances are 1 - cosine (1 - |cosine| without a sign). Fits that are all the same have silhouettes of 1.
"""

from __future__ import annotations

import numpy as np

from analysis.compute.matching.unit_pairing import pair_units

ROUNDS = 20


def aligned(sets: np.ndarray, signed: bool) -> np.ndarray:
    """`sets` (fits, k, d) of lines of length 1, the components of each fit reordered (and flipped, unless `signed`) so
    that those with the same number belong together: k-means whose clusters take one component of each fit."""
    centre, found, before = sets[0], sets.copy(), None
    for _ in range(ROUNDS):
        order = np.array([pair_units(centre, one, signed) for one in sets])
        if before is not None and (order == before).all():
            break
        before = order
        found = np.take_along_axis(sets, order[:, :, None], axis=1)
        if not signed:
            found = found * np.where((found * centre).sum(axis=2) < 0, -1.0, 1.0)[:, :, None]
        mean = found.mean(axis=0)
        size = np.sqrt((mean**2).sum(axis=1, keepdims=True))
        centre = mean / np.where(size > 0, size, 1)
    return found


def silhouettes(found: np.ndarray, signed: bool) -> np.ndarray:
    """(k,) mean silhouette of each cluster of `found` (fits, k, d), two or more of both. O((fits k)² d)."""
    fits, k, d = found.shape
    rows = found.transpose(1, 0, 2).reshape(k * fits, d)  # cluster by cluster
    cosine = rows @ rows.T
    distance = np.clip(1 - (cosine if signed else np.abs(cosine)), 0, 2)
    np.fill_diagonal(distance, 0)
    to = distance.reshape(k * fits, k, fits).sum(axis=2)
    own = np.repeat(np.arange(k), fits)
    every = np.arange(len(own))
    within = to[every, own] / (fits - 1)
    to[every, own] = np.inf
    other = to.min(axis=1) / fits
    size = np.maximum(within, other)
    apart = np.divide(other - within, size, out=np.zeros_like(size), where=size > 1e-12)
    return apart.reshape(k, fits).mean(axis=1)


def spreads(found: np.ndarray, signed: bool) -> np.ndarray:
    """(k,) mean cosine between the members of each cluster of `found` (fits, k, d)."""
    fits = len(found)
    cosine = np.einsum("akd,bkd->kab", found, found)
    cosine = cosine if signed else np.abs(cosine)
    return (cosine.sum(axis=(1, 2)) - np.einsum("kaa->k", cosine)) / (fits * (fits - 1))


def stable_numbers(worst: np.ndarray, chance: np.ndarray, least: float) -> np.ndarray:
    """Which numbers have a worst silhouette (numbers,) that reaches `least` and is above every draw of structureless
    data in `chance` (draws, numbers)."""
    return np.flatnonzero((worst >= least) & (worst > chance.max(axis=0)))


def stable_by_chance(numbers: np.ndarray, chance: np.ndarray, least: float) -> np.ndarray:
    """(draws,) largest stable number of each draw, beside the others as the data are beside all; 0 for none."""
    found = [stable_numbers(own, np.delete(chance, i, axis=0), least) for i, own in enumerate(chance)]
    return np.array([float(numbers[at[-1]]) if len(at) else 0.0 for at in found])
