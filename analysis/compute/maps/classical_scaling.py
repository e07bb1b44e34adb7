"""Classical multidimensional scaling: points in a plane whose distances are nearest to given ones, and how near.

    B = -½ J D² J = V diag(λ) Vᵀ,    points = V_k diag(λ_k)^½

exact for distances between points of a space of k dimensions; negative λ say that no points have these distances.
Stress (Kruskal's, of the second power) is sqrt(Σ (δ - d)² / Σ δ²) over pairs, of distances δ and drawn ones d.

References: W. Torgerson (1952); J. Gower (1966); J. Kruskal (1964).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scaled:
    """`positions` (n, k), largest extent first, and all `values` (n,) λ, falling."""

    positions: np.ndarray
    values: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """(k,) of the sum of |λ|, for each axis."""
        return np.maximum(self.values[: self.positions.shape[1]], 0.0) / max(
            np.abs(self.values).sum(), 1e-300
        )


def classical_scaling(distances: np.ndarray, k: int = 2) -> Scaled:
    """Of symmetric distances (n, n). Signs so that the largest entry of an axis is positive. O(n³)."""
    n = len(distances)
    centre = np.eye(n) - 1.0 / n
    values, vectors = np.linalg.eigh(-0.5 * centre @ distances**2 @ centre)
    values, vectors = values[::-1], vectors[:, ::-1]
    positions = np.zeros((n, k))
    m = min(n, k)
    positions[:, :m] = vectors[:, :m] * np.sqrt(np.maximum(values[:m], 0.0))
    largest = np.take_along_axis(positions, np.abs(positions).argmax(axis=0)[None], axis=0)
    return Scaled(positions * np.where(largest < 0, -1.0, 1.0), values)


def stress(distances: np.ndarray, positions: np.ndarray) -> tuple[float, np.ndarray]:
    """Of the whole map, and (n,) of the pairs of each point."""
    from scipy.spatial.distance import pdist, squareform

    drawn = squareform(pdist(positions))
    lost, size = (distances - drawn) ** 2, distances**2
    each = np.sqrt(lost.sum(axis=1) / np.maximum(size.sum(axis=1), 1e-300))
    return float(np.sqrt(lost.sum() / max(size.sum(), 1e-300))), each


def exchanged_stress(distances: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """(draws,) stress of the same distances between other pairs."""
    from scipy.spatial.distance import squareform

    flat, found = squareform(distances, checks=False), np.empty(draws)
    for i in range(draws):
        moved = squareform(rng.permutation(flat))
        found[i] = stress(moved, classical_scaling(moved).positions)[0]
    return found
