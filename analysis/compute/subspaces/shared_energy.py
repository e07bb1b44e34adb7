"""How much of one energy lies along the leading directions of another, and how much would by chance.

An energy is a symmetric, positive semi-definite matrix C (d, d): a covariance, or W Wᵀ of weights W whose columns are
vectors of the d units. Its share inside a subspace with projection P of rank k is tr(P C) / tr C. For a uniformly
random subspace, with λ the eigenvalues of C,

    mean k / d,    variance 2 k (d - k) / (d (d - 1) (d + 2)) (Σ λ² - (Σ λ)² / d) / (Σ λ)²

exactly; for a projection C it is the variance of the overlap of two random subspaces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.statistics.sample_groups import groups_of
from analysis.compute.streaming import Pass, finite_blocks
from analysis.errors import InputError
from analysis.spec import Progress

WRITES, READS = "writes", "reads"  # a layer into its units, or from its inputs


@dataclass(frozen=True)
class Energy:
    """`values` (d,) falling with sum 1 and `axes` (d, d), columns."""

    values: np.ndarray
    axes: np.ndarray

    @classmethod
    def of(cls, matrix: np.ndarray) -> Energy:
        """O(d³). The matrix is not 0."""
        values, axes = np.linalg.eigh(matrix)
        values = np.maximum(values[::-1], 0.0)
        return cls(values / values.sum(), axes[:, ::-1])

    def along(self, directions: np.ndarray) -> np.ndarray:
        """(k,) share of this energy along each of `directions` (d, k), orthonormal columns. O(d² k)."""
        return self.values @ (self.axes.T @ directions) ** 2


def share_by_chance(k: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation, shaped as `k`, of the share of an energy with eigenvalues `values` (d,) inside a random
    subspace of dimension `k`."""
    d, total = len(values), values.sum()
    uneven = max(float((values**2).sum() / total**2 - 1.0 / d), 0.0)
    variance = 2.0 * k * (d - k) / (d * max(d - 1, 1) * (d + 2)) * uneven
    return k / d, np.sqrt(variance)


def squares_by_group(
    tap: Activations,
    mean: np.ndarray,
    directions: np.ndarray,
    seen: Pass,
    rng: np.random.Generator,
    progress: Progress,
    span: tuple[float, float],
) -> np.ndarray:
    """(G, d) sums of squared scores on `directions` (d, d), of ten random groups of samples."""
    owners = tap.layout.n_samples if seen.n_samples > 1 else tap.shape[0]
    group = groups_of(owners, rng)
    found = np.zeros((group.max() + 1, directions.shape[1]))
    for rows, block in finite_blocks(tap, None, progress, "projecting", span):
        squares = ((block - mean) @ directions) ** 2
        of = group[seen.owners(tap.layout, rows)]
        for g in np.unique(of):
            found[g] += squares[of == g].sum(axis=0)
    return found


def share_series(squares: np.ndarray) -> np.ndarray:
    """(1 + G, d) share of the variance inside the first k directions: of all, then without each group; no groups where
    one leaves nothing that varies."""
    whole = squares.sum(axis=0)
    without = whole - squares
    every = [whole, *without] if (without.sum(axis=1) > 1e-9 * whole.sum()).all() else [whole]
    return np.array([np.cumsum(np.maximum(s, 0.0)) / np.maximum(s, 0.0).sum() for s in every])


def weight_energy(w: np.ndarray, name: str, tap: Activations, side: str) -> np.ndarray:
    """(d, d) energy of the weights `w` (units, inputs) of the layer `name` in the space of the tap's units. Raises
    InputError where they do not fit, are all 0 or not finite."""
    d = tap.shape[1]
    have, what = (len(w), "units") if side == WRITES else (w.shape[1], "inputs")
    if have != d:
        raise InputError(
            f"{name} has {have:,} {what} and {tap.name} has {d:,} units",
            f"as many of them as there are units, to compare with what the layer {side}",
            "Choose the tap that it writes into or reads, or the other side",
        )  # fmt: skip
    if not np.isfinite(w).all() or not (w != 0).any():
        raise InputError(
            f"the weights of {name} are all 0 or hold NaN or infinity",
            "finite weights",
            "Choose another layer, or look at the checkpoint's values",
        )
    return w @ w.T if side == WRITES else w.T @ w
