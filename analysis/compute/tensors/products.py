"""Arrays as matrices and back: unfolding along a mode, products with a matrix along a mode, columns times columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def unfolded(x: np.ndarray, mode: int) -> np.ndarray:
    """(size of the mode, everything else): the fibres of a mode as columns, later axes fastest."""
    return np.moveaxis(x, mode, 0).reshape(x.shape[mode], -1)


def times(x: np.ndarray, matrix: np.ndarray, mode: int) -> np.ndarray:
    """x with `matrix` (m, size) multiplied to every fibre of a mode, which then has m entries."""
    return np.moveaxis(np.tensordot(matrix, x, axes=(1, mode)), 0, mode)


def column_products(factors: Sequence[np.ndarray]) -> np.ndarray:
    """(product of the sizes, k): column by column the outer product of factors (size, k), later ones fastest."""
    out = factors[0]
    for factor in factors[1:]:
        out = (out[:, None, :] * factor[None]).reshape(-1, out.shape[1])
    return out


def summed(factors: Sequence[np.ndarray]) -> np.ndarray:
    """Σ_r a_r ∘ b_r ∘ c_r … of factors (size, k), as a whole array."""
    shape = tuple(len(f) for f in factors)
    return (factors[0] @ column_products(factors[1:]).T).reshape(shape)


def mode_spectra(x: np.ndarray) -> tuple[np.ndarray, ...]:
    """The singular values of every unfolding, falling. The number above 0 are the multilinear ranks."""
    found = []
    for mode in range(x.ndim):
        flat = unfolded(x, mode)
        small = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
        found.append(np.sqrt(np.maximum(np.linalg.eigvalsh(small)[::-1], 0)))
    return tuple(found)


def noise_edges(shape, sizes: np.ndarray, draws: int, rng: np.random.Generator, tick=lambda share: None):
    """(modes,) the largest singular value of each unfolding that `draws` arrays of `shape` had, of independent normal
    numbers with deviations `sizes` (units,) along the last axis: the largest of a single draw is as likely below what
    noise has as above."""
    found = np.zeros(len(shape))
    for draw in range(draws):
        tick(draw / draws)
        found = np.maximum(found, [s[0] for s in mode_spectra(rng.standard_normal(shape) * sizes)])
    return found


def mixed_along_samples(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`x` (samples, …, units) with the samples of every unit in an order of its own: what a unit does over positions
    stays, what units do together is gone."""
    order = np.argsort(rng.random((x.shape[-1], len(x))), axis=1)
    flat = np.moveaxis(x, -1, 0)
    return np.moveaxis(
        np.take_along_axis(flat, order.reshape(*order.shape, *(1,) * (x.ndim - 2)), axis=1), 0, -1
    )
