"""Ranks of a matrix under their formulas, what it costs to keep fewer, and what entries without structure would give.

With singular values σ of a (units, inputs) matrix: exp-entropy of σ and of σ² (they differ), stable rank
‖W‖_F² / ‖W‖₂², the fewest that hold 90 or 99 % of Σ σ², and Σ σ / ‖W‖_F. All are k for k equal singular values, but the
last, which is √k. Rank r stores r (units + inputs) numbers: fewer than the matrix only below units inputs / (units +
inputs).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.spectra import axes_for, entropy_rank
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import gaussian_eigenvalues, null_draws, wilson
from analysis.results import Estimate
from analysis.spec import Cost, param

GAUSSIAN, MOVED = "Gaussian entries", "entries moved"
ENTROPY, ENTROPY2, STABLE = "entropy rank of σ", "entropy rank of σ²", "stable rank"
HALF, MOST, RATIO = "rank for 90 % of energy", "rank for 99 % of energy", "nuclear / Frobenius"
RANKS = (ENTROPY, ENTROPY2, STABLE, HALF, MOST, RATIO)
MOST_DRAWS = 20


def singular_values(weight: np.ndarray) -> np.ndarray:
    """(min(units, inputs),) falling; exactly 0 below rounding. O(units inputs min(units, inputs))."""
    found = np.linalg.svd(weight, compute_uv=False)
    return np.where(found > found[0] * max(weight.shape) * np.finfo(float).eps, found, 0.0)


def rank_numbers(sigma: np.ndarray) -> dict[str, float]:
    """The six numbers of `RANKS` from falling singular values; all 0 for a matrix of zeros."""
    if not sigma[0] > 0:
        return dict.fromkeys(RANKS, 0.0)
    s = sigma / sigma[0]
    energy = s * s
    return {
        ENTROPY: entropy_rank(s), ENTROPY2: entropy_rank(energy), STABLE: float(energy.sum()),
        HALF: float(axes_for(energy, 0.9)), MOST: float(axes_for(energy, 0.99)),
        RATIO: float(s.sum() / np.sqrt(energy.sum())),
    }  # fmt: skip


def break_even(units: int, inputs: int) -> float:
    """The rank at which two factors hold as many numbers as the matrix."""
    return units * inputs / (units + inputs)


def saved(units: int, inputs: int, rank: float) -> float:
    """Share of the parameters that factors of this rank save; negative beyond `break_even`, 1 for rank 0."""
    return 1.0 - rank / break_even(units, inputs)


def null_singular_values(weight: np.ndarray, how: str, rng: np.random.Generator) -> np.ndarray:
    """(draws, min(units, inputs)) of matrices of the same shape and Frobenius norm: independent Gaussian entries with
    mean 0, or the matrix's own entries in another order. O(min(units, inputs)³), or O(units inputs min), a draw."""
    units, inputs = weight.shape
    small, large = min(units, inputs), max(units, inputs)
    draws = min(null_draws(small), MOST_DRAWS)
    if how == MOVED:
        return np.array([
            np.linalg.svd(rng.permutation(weight.ravel()).reshape(units, inputs), compute_uv=False)
            for _ in range(draws)
        ])  # fmt: skip
    found = np.sqrt(gaussian_eigenvalues(np.ones(small), large + 1, rng, draws))
    return found * np.linalg.norm(weight) / np.linalg.norm(found, axis=1, keepdims=True)


def noise_edge(weight: np.ndarray, null: np.ndarray) -> float:
    """The singular value that such matrices do not pass: the largest of all draws, or Marchenko and Pastur's edge
    s (√units + √inputs), with s the entries' root mean square, where that is larger."""
    units, inputs = weight.shape
    scale = np.linalg.norm(weight) / np.sqrt(units * inputs)
    return float(max(null.max(), scale * (np.sqrt(units) + np.sqrt(inputs))))


@dataclass(frozen=True)
class TableParams:
    """What every view of the weights behind a tap asks."""

    table: bool = param(
        False, "The tap holds a table of weights: a column per unit, a row per input.",
        label="tap is a table of weights", late=True,
    )  # fmt: skip


@dataclass(frozen=True)
class WeightRankParams(TableParams):
    """What every view of the ranks of weights asks."""

    null: str = param(
        GAUSSIAN, "Matrices without structure to compare with.", choices=(GAUSSIAN, MOVED), late=True
    )


def beyond_noise(count: int, whole: int, null: str, *, n: int, d: int) -> Estimate:
    """The share of `whole` singular values that `count` make up, above those of matrices without structure."""
    low, high = wilson(count, whole)
    return Estimate("share of singular values beyond noise", count / whole, low, high,
                    interval="Wilson, singular values as draws", null=0.0, null_method=f"{null}, above all draws",
                    n=n, d=d, estimator="singular values of the weights")  # fmt: skip


def ranks_cost(shapes, params: WeightRankParams) -> Cost:
    """Of singular values with those of matrices without structure."""
    n, d = shapes[0]
    small, m = min(n, d), machine()
    draws = min(null_draws(small), MOST_DRAWS)
    flops = 8.0 * n * d * small * (1 + draws * (params.null == MOVED)) + draws * 15.0 * small**3
    return Cost(
        m.seconds(flops64=flops, moved=8.0 * n * d * 10) + 0.02, 8.0 * (2.5 * n * d + 4.0 * small**2) + 5e4
    )
