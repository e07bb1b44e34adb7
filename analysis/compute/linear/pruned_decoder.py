"""A linear decoder from latents to what they stand for, and what is lost when latents are held at their mean.

    y ~ ȳ + W (z - z̄) by least squares on one half of the samples;   error(k) = Σ |y - ŷ_k|² / Σ |y - ȳ|² on the other

ŷ_k uses the k latents that are kept, with the decoder as it was fitted on all of them: pruning is no second training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PrunedErrors:
    """`lost` (k + 1, n) squared error of each sample with 0 .. k latents kept; `size` (n,) its squared distance from
    the mean; `decoder` (p, m) fitted on all samples."""

    lost: np.ndarray
    size: np.ndarray
    decoder: np.ndarray

    def relative(self) -> np.ndarray:
        """(k + 1,) error by the number of latents kept."""
        return self.lost.sum(axis=1) / self.size.sum()


def fitted_decoder(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """W (p, m) of least squares, the least one where several fit, of latents `z` (n, m) and targets `y` (n, p)."""
    return np.linalg.lstsq(z - z.mean(axis=0), y - y.mean(axis=0), rcond=1e-10)[0].T


def pruned_errors(z: np.ndarray, y: np.ndarray, order: np.ndarray, fold: np.ndarray) -> PrunedErrors:
    """Errors with the first 0 .. m latents of `order` (m,) kept, across two folds `fold` (n,) of 0 and 1. O(m n p)."""
    n, m = z.shape
    lost, size = np.empty((m + 1, n)), np.empty(n)
    for side in (0, 1):
        test, train = fold == side, fold != side
        decoder = fitted_decoder(z[train], y[train])
        rest = y[test] - y[train].mean(axis=0)
        moved = z[test] - z[train].mean(axis=0)
        size[test] = np.einsum("ij,ij->i", rest, rest)
        lost[0, test] = size[test]
        for k, j in enumerate(order):
            rest = rest - np.outer(moved[:, j], decoder[:, j])
            lost[k + 1, test] = np.einsum("ij,ij->i", rest, rest)
    return PrunedErrors(lost, size, fitted_decoder(z, y))
