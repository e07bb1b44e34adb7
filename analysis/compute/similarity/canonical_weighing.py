"""What weighs canonical variates in PWCCA: how much each carries of the units of its own side.

w_i = Σ_j |<h_i, x_j>| for canonical variates h_i of length 1 and centred units x_j as they are (A. Morcos et al.
2018). In random subspaces the variates are turned at random: their weights then vary by what the units themselves are
like, which `variation` tells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.similarity.canonical import Side

TURNED = 256  # variates turned at random


@dataclass(frozen=True)
class Weighing:
    """`coordinates` (r, d) of the centred units of a side in its basis, and for the samples outside each group the
    `returns` (r_g, r) that take them to the whitened basis. `variation`: squared relative deviation of the weights of
    variates that are turned at random."""

    coordinates: np.ndarray
    returns: tuple[np.ndarray, ...]
    variation: float


def weighing(side: Side, x: np.ndarray, order: np.ndarray, rng: np.random.Generator) -> Weighing:
    """Of the units `x` (n, d) as they are; `order` (n,) the samples as the groups of the side hold them. O(n r d)."""
    centred = x - x.mean(axis=0)
    centred /= np.abs(centred).max()
    coordinates = np.concatenate(side.parts).T @ centred[order]
    returns = tuple(w.T @ side.scatter(g) for g, w in enumerate(side.whiteners))
    return Weighing(coordinates, returns, _variation(coordinates, rng))


def weights_of(variates: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    """Σ_j |<h_i, x_j>| for `variates` (r, k) in the basis: (k,)."""
    return np.abs(variates.T @ coordinates).sum(axis=1)


def both_ways(cross: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Weighted mean ρ of a cross product (p, q) by the units of the one side and by those of the other, from their
    coordinates `x` (p, d) and `y` (q, e); NaN where a side is empty."""
    if not min(cross.shape):
        return np.nan, np.nan
    u, rho, vt = np.linalg.svd(cross, full_matrices=False)
    rho = np.minimum(rho, 1.0)
    weights = weights_of(u, x), weights_of(vt.T, y)
    return tuple(float(w @ rho / w.sum()) if w.sum() > 0 else np.nan for w in weights)


def _variation(coordinates: np.ndarray, rng: np.random.Generator) -> float:
    r, weights = len(coordinates), []
    for _ in range(-(-TURNED // r)):
        weights.append(weights_of(np.linalg.qr(rng.standard_normal((r, r)))[0], coordinates))
    found = np.concatenate(weights)
    return float(found.var() / found.mean() ** 2)
