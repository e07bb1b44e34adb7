"""How much of the space around a linear layer its data use: directions that explain 1 - δ of the energy on each side.

    k(δ) = fewest eigen-directions of the rows' (co)variance that hold 1 - δ of its trace
    P = V Vᵀ of these directions,   W' = P_out W P_in,   utilised rank = min(k_in, k_out),   over min(inputs, outputs)

At δ = 0, k is the numerical rank and W' gives every row of the data what W gave it.

Energy may be counted on the rows that gave the directions, which promises too much where rows are few, or on rows held
out, which asks for too many; the truth lies between.

Reference: I. Garg, C. Koguchi, E. Verma & D. Ulbricht (2024), "Revealing the utilized rank of subspaces of learning in
neural networks".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LINEAR = (
    1e-3  # relative error below which outputs are a linear function of the inputs (float16 leaves some 3e-4)
)


@dataclass(frozen=True)
class Directions:
    """Eigenvalues `values` (d,), falling, and `vectors` (d, d), one direction per column."""

    values: np.ndarray
    vectors: np.ndarray

    @property
    def rank(self) -> int:
        """Numerical rank: eigenvalues above rounding."""
        size = self.values[0] if len(self.values) else 0.0
        return int((self.values > 1e-13 * len(self.values) * size).sum())


def directions(x: np.ndarray) -> Directions:
    """Of the second moment of `x` (n, d), centred before or not. O(n d² + d³)."""
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    return Directions(np.maximum(values[::-1], 0.0), vectors[:, ::-1])


def count(values: np.ndarray, deltas: np.ndarray, rank: int | None = None) -> np.ndarray:
    """(m,) fewest of the energies `values` (..., d), in order, that hold 1 - δ of their sum, for each of `deltas` (m,);
    at most `rank`, at least 1."""
    total = values.sum()
    share = np.cumsum(values) / (total if total > 0 else 1.0)
    k = np.searchsorted(share, (1.0 - np.asarray(deltas)) * (1 - 1e-14)) + 1
    return np.clip(k, 1, len(values) if rank is None else max(rank, 1))


def held_out_energy(x: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """(d,) energy of each half of the rows of `x` (n, d) along the directions of the other, added; `fold` (n,) 0, 1."""
    out = np.zeros(x.shape[1])
    for side in (0, 1):
        out += ((x[fold == side] @ directions(x[fold != side]).vectors) ** 2).sum(axis=0)
    return out


def projected(weight: np.ndarray, given: Directions, made: Directions, k_in: int, k_out: int) -> np.ndarray:
    """W' = P_out W P_in (outputs, inputs) of a weight (outputs, inputs)."""
    v, u = given.vectors[:, :k_in], made.vectors[:, :k_out]
    return u @ (u.T @ weight @ v) @ v.T


def fitted_weight(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """The weight W (outputs, inputs) of least squares y = x Wᵀ, and its relative error; exact where the rows `y`
    (n, outputs) are a linear function of the rows `x` (n, inputs). O(n d²)."""
    weight = np.linalg.lstsq(x, y, rcond=None)[0].T
    size = float((y * y).sum())
    return weight, float(np.sqrt(((y - x @ weight.T) ** 2).sum() / size)) if size > 0 else 0.0


def output_error(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """Root of |y - x Wᵀ|² / |y|², both summed over rows."""
    return float(np.sqrt(((y - x @ weight.T) ** 2).sum() / (y * y).sum()))
