"""Planted data with known answers, for checks and tests. Every function draws from the generator it is given."""

from __future__ import annotations

import numpy as np

from analysis.errors import ParameterError


def gaussian_clusters(
    rng: np.random.Generator, n: int = 300, d: int = 20, k: int = 3, separation: float = 8.0
) -> tuple[np.ndarray, np.ndarray]:
    """k unit-variance clusters whose centres are `separation` apart, pairwise, in d >= k dimensions.

    Returns
    -------
    values : (n, d) float64
    labels : (n,) int64, balanced to within one sample and in random order
    """
    if d < k:
        raise ParameterError(f"d = {d} with {k} clusters", f"at least {k}, one axis per cluster")
    centres = np.linalg.qr(rng.standard_normal((d, k)))[0].T * (separation / np.sqrt(2))
    labels = rng.permutation(np.arange(n) % k)
    return centres[labels] + rng.standard_normal((n, d)), labels


def low_rank(
    rng: np.random.Generator, n: int = 500, d: int = 30, sd=(3.0, 2.0, 1.0), noise: float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian data on a subspace with the given standard deviations, plus isotropic noise.

    The covariance's eigenvalues are sd**2 + noise**2, then noise**2.

    Returns
    -------
    values : (n, d) float64
    basis : (k, d) orthonormal rows, the true principal directions in order
    """
    sd = np.asarray(sd, dtype=np.float64)
    if d < len(sd):
        raise ParameterError(f"d = {d} for {len(sd)} directions", f"at least {len(sd)}")
    basis = np.linalg.qr(rng.standard_normal((d, len(sd))))[0].T
    return (rng.standard_normal((n, len(sd))) * sd) @ basis + noise * rng.standard_normal((n, d)), basis


def two_subspaces(rng: np.random.Generator, d: int, angles) -> tuple[np.ndarray, np.ndarray]:
    """Two orthonormal bases (k, d) whose principal angles are `angles` (k,), in radians, in this pairing."""
    angles = np.asarray(angles, dtype=np.float64)
    k = len(angles)
    if d < 2 * k:
        raise ParameterError(f"d = {d} for {k} angles", f"at least {2 * k}")
    q = np.linalg.qr(rng.standard_normal((d, 2 * k)))[0].T
    first, beside = q[:k], q[k:]
    return first, np.cos(angles)[:, None] * first + np.sin(angles)[:, None] * beside


def class_units(
    rng: np.random.Generator, n: int = 400, units: int = 12, classes: int = 4, effect: float = 3.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Units selective for one class each: unit j has mean `effect` (in standard deviations) for its class, 0 else.

    The second half of the units is selective for none.

    Returns
    -------
    values : (n, units) float64 of unit variance within a class
    labels : (n,) int64, balanced to within one sample and in random order
    selective_for : (units,) int64, the class of each unit, -1 for none
    """
    labels = rng.permutation(np.arange(n) % classes)
    selective_for = np.where(np.arange(units) < (units + 1) // 2, np.arange(units) % classes, -1)
    values = rng.standard_normal((n, units))
    values += effect * (labels[:, None] == selective_for[None, :])
    return values, labels, selective_for


def swiss_roll(rng: np.random.Generator, n: int = 1000, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A rolled-up rectangle in three dimensions.

    Returns
    -------
    values : (n, 3) float64
    flat : (n, 2), the rectangle: arc length along the roll, and height; distances on the roll are those here
    """
    turn = 1.5 * np.pi * (1 + 2 * rng.random(n))
    height = 21 * rng.random(n)
    values = np.column_stack(
        [turn * np.cos(turn), height, turn * np.sin(turn)]
    ) + noise * rng.standard_normal((n, 3))
    arc = 0.5 * (turn * np.sqrt(1 + turn**2) + np.arcsinh(turn))  # length of the spiral r = turn
    return values, np.column_stack([arc, height])


def structureless(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Independent standard normal values (n, d): what nothing looks like."""
    return rng.standard_normal((n, d))
