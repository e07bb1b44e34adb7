"""The path of an optimiser through the weights: its principal components, and those of a random walk.

    θ_s of S checkpoints, centred at their mean; components are the eigenvectors of the S x S Gram matrix, carried back

so that no P x P matrix of P weights is made. A random walk in many dimensions has steps at right angles: with steps of
equal length its first component holds near 6 / π² = 61 % of the variance, whatever the dimension.

Reference: J. Antognini & J. Sohl-Dickstein (2018), "PCA of high dimensional random walks with comparison to neural
network training".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PathComponents:
    """`axes` (k, P) of length 1, `places` (S, k) of the checkpoints along them from the last one, `shares` (k,) of the
    variance, `walk` (k,) those of a walk with the same steps at right angles."""

    axes: np.ndarray
    places: np.ndarray
    shares: np.ndarray
    walk: np.ndarray


def path_components(vectors: np.ndarray, k: int = 2) -> PathComponents:
    """Of weights (S, P) of S >= 3 checkpoints, at most S - 1 components; axes point towards the last checkpoint. Fewer
    where the path is flatter. O(S² P)."""
    off = np.asarray(vectors, np.float64) - vectors[-1]
    centred = off - off.mean(axis=0)
    values, sides = np.linalg.eigh(centred @ centred.T)
    values, sides = values[::-1], sides[:, ::-1]
    total = float(np.maximum(values, 0).sum())
    kept = [j for j in range(min(k, len(off) - 1)) if total > 0 and values[j] > 1e-10 * total]
    axes = (centred.T @ sides[:, kept]).T / np.sqrt(values[kept])[:, None]
    axes *= np.where(axes @ -off[0] < 0, -1.0, 1.0)[:, None]
    walk = walk_shares(np.linalg.norm(np.diff(off, axis=0), axis=1))
    return PathComponents(
        axes, off @ axes.T, np.maximum(values[kept], 0) / max(total, 1e-300), walk[: len(kept)]
    )


def walk_shares(steps: np.ndarray) -> np.ndarray:
    """(S,) shares of the variance of the components of a walk with these steps (S - 1,) at right angles, falling."""
    places = np.concatenate([np.zeros((1, len(steps))), np.cumsum(np.diag(steps), axis=0)])
    places -= places.mean(axis=0)
    values = np.maximum(np.linalg.eigvalsh(places @ places.T)[::-1], 0)
    return values / max(float(values.sum()), 1e-300)


def random_like(axis: np.ndarray, parts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(P,) a Gaussian direction with as much of its length in each part of the weights as `axis` (P,) has there;
    `parts` (P,) names the part of each weight, from 0."""
    out = rng.standard_normal(len(axis))
    own, drawn = (np.sqrt(np.bincount(parts, v * v)) for v in (axis, out))
    return out * (own / np.maximum(drawn, 1e-300))[parts]
