"""A weight matrix (units, inputs) as W ≈ S D: each neuron a few of k atoms, and as two factors of a rank, at as many
stored numbers. With inputs X the error is ‖X (W - S D)ᵀ‖, which the root of their second moments stands for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.atom_learning import learned_atoms, orthogonal_codes, rows_apart

SPARSE, PLAIN, WHITE = "sparse dictionary", "low rank (SVD)", "low rank, whitened"
NUMBER, JITTER, ROUNDS = 16, 1e-6, 12  # bits of a number; share of the mean second moment; of K-SVD
USE = 1e-12  # share of the squares of all codes below which a code is 0


@dataclass(frozen=True)
class Root:
    """`root` (inputs, inputs) with root rootᵀ = the second moments of the inputs, and its `inverse`; None for the
    identity."""

    root: np.ndarray | None = None
    inverse: np.ndarray | None = None

    def into(self, weight: np.ndarray) -> np.ndarray:
        return weight.copy() if self.root is None else weight @ self.root

    def back(self, white: np.ndarray) -> np.ndarray:
        return white if self.inverse is None else white @ self.inverse


def root_of(x: np.ndarray | None) -> Root:
    """Of rows `x` (n, inputs), about the origin, since a bias adds nothing to this error; the identity without rows. A
    little is added to the diagonal, so that directions without input keep an inverse. O(n inputs² + inputs³)."""
    if x is None:
        return Root()
    moments, inputs = x.T @ x / len(x), x.shape[1]
    moments[np.diag_indices(inputs)] += JITTER * float(np.trace(moments)) / inputs
    values, axes = np.linalg.eigh(moments)
    values = np.maximum(values, np.finfo(float).tiny)
    return Root(axes * np.sqrt(values) @ axes.T, axes / np.sqrt(values) @ axes.T)


def atoms_for(units: int, inputs: int, share: float, ratio: float) -> tuple[int, int]:
    """How many atoms k, and of how many each neuron is made (k / ratio), so that k inputs + units k / ratio numbers and
    a bit for each neuron and atom take this share of the matrix; at least 1 each."""
    k = int(share * units * inputs / (inputs + units / ratio + units / NUMBER))
    return max(k, 1), max(round(k / ratio), 1)


def stored(units: int, inputs: int, atoms: int, used: int) -> float:
    """Share of the matrix's numbers that atoms, codes and the mask of which is which take."""
    return (atoms * inputs + units * used + units * atoms / NUMBER) / (units * inputs)


def rank_for(units: int, inputs: int, share: float) -> int:
    """Rank of two factors that take this share of the numbers; at least 1."""
    return max(int(share * units * inputs / (units + inputs)), 1)


def sparse_factors(
    weight: np.ndarray, root: Root, atoms: int, used: int, rng: np.random.Generator, rounds: int = ROUNDS
) -> tuple[np.ndarray, np.ndarray]:
    """Codes (units, atoms), at most `used` in a row not 0, and atoms (atoms, inputs): K-SVD of the whitened weights."""
    white = root.into(weight)
    first = rows_apart(white, atoms, rng)
    found, codes, _ = learned_atoms(
        white, first, lambda x, d: orthogonal_codes(x, d, used), signed=True, rounds=rounds
    )
    codes[codes**2 <= USE * float((codes**2).sum())] = 0
    return codes, root.back(found)


def low_rank(weight: np.ndarray, root: Root, rank: int, whitened: bool) -> np.ndarray:
    """(units, inputs): the best of this rank for the weights, or for what inputs make of them."""
    u, s, v = np.linalg.svd(root.into(weight) if whitened else weight, full_matrices=False)
    cut = (u[:, :rank] * s[:rank]) @ v[:rank]
    return root.back(cut) if whitened else cut


def approximations(
    weight: np.ndarray, root: Root, share: float, ratio: float, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """The matrix by each of the three ways at this share of its numbers."""
    units, inputs = weight.shape
    codes, found = sparse_factors(weight, root, *atoms_for(units, inputs, share, ratio), rng)
    rank = rank_for(units, inputs, share)
    return {SPARSE: codes @ found, PLAIN: low_rank(weight, root, rank, False),
            WHITE: low_rank(weight, root, rank, True)}  # fmt: skip


def overlaps(use: np.ndarray) -> np.ndarray:
    """(p, p) Σ min of the shares `use` (p, k), rows of sum 1: 1 for equal use, 0 for nothing in common."""
    return np.array([np.minimum(row, use).sum(axis=1) for row in use])
