"""Principal axes, exact: the eigenvectors of a float64 covariance that was merged over chunks.

With more rows than units the d x d covariance is streamed; with fewer rows the n x n Gram matrix of the centred
rows gives the same axes (the dual). `IncrementalPCA` is an approximation (its worst axis is 9 to 57 degrees off
on a slowly falling spectrum) and slower.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.arrays import as_matrix, first_sign
from analysis.compute.statistics.moments import Moments, moments_of
from analysis.compute.streaming import Pass, finite_blocks, refuse_few
from analysis.errors import InputError, TooLarge
from analysis.spec import Progress, no_progress

LARGEST_SIDE = 8192  # of a dense symmetric eigenproblem: 0.5 GiB and about a minute


@dataclass(frozen=True)
class PrincipalAxes:
    """`mean` (d,), `directions` (k, d) orthonormal, all non-zero `eigenvalues` (r,) falling (divided by n - 1),
    `variances` (d,) of the units, `total` their sum; `n` rows, `d` units."""

    n: int
    d: int
    mean: np.ndarray
    directions: np.ndarray
    eigenvalues: np.ndarray
    variances: np.ndarray

    @property
    def total(self) -> float:
        return float(self.variances.sum())


def principal_components(x: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (d,), directions (k, d) and eigenvalues (k,) of the finite array `x` (n, d).

    The directions are orthonormal rows in order of falling eigenvalue; the entry of largest magnitude is
    positive, so that the sign is the same on every machine. k is cut to the rank.

    Raises
    ------
    ShapeError, NotEnoughData
        `x` is not a matrix, or has fewer than two rows.
    InputError
        Every unit is constant, or a value is NaN or infinite.
    TooLarge
        Both n and d exceed 8,192.

    Notes
    -----
    Time O(n d min(n, d)), memory O(min(n, d)²) beside one float64 copy of `x`.
    """
    x = as_matrix(x, minimum_rows=2)
    if not np.isfinite(x).all():
        raise InputError("the array holds NaN or infinity", "finite numbers", "Drop those rows first")
    n, d = x.shape
    _refuse_large("array", n, d)
    if n < d:
        axes = _dual("array", np.asarray(x, dtype=np.float64), k)
    else:
        axes = axes_of_moments("array", Moments.of(x), k)
    return axes.mean, axes.directions, axes.eigenvalues[: len(axes.directions)]


def principal_axes(
    activations: Activations,
    k: int,
    seen: Pass | None = None,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> PrincipalAxes:
    """The same for Activations, in one streamed pass (rows with NaN or infinity are left out and counted).

    Raises NotEnoughData (fewer than three finite rows), InputError (nothing varies) and TooLarge.
    """
    seen = Pass() if seen is None else seen
    n, d = activations.shape
    _refuse_large(activations.name, n, d)
    if n < d:
        blocks = [b for _, b in finite_blocks(activations, seen, progress, "reading", span)]
        x = np.concatenate(blocks) if blocks else np.empty((0, d))
        refuse_few(activations.name, len(x), 3)
        return _dual(activations.name, x, k)
    moments = moments_of(activations, seen, progress, span)
    refuse_few(activations.name, moments.n if moments else 0, 3)
    return axes_of_moments(activations.name, moments, k)


def axes_of_moments(name: str, moments: Moments, k: int) -> PrincipalAxes:
    """The same from moments; `name` for messages. O(d³). Raises InputError, TooLarge."""
    _refuse_large(name, moments.n, len(moments.mean))
    variances = np.where(moments.varies(), moments.variance, 0.0)
    _refuse_constant(name, variances)
    values, vectors = np.linalg.eigh(moments.covariance)
    return _axes(moments.n, moments.mean, values[::-1], vectors[:, ::-1].T, variances, k)


def _dual(name: str, x: np.ndarray, k: int) -> PrincipalAxes:
    n = len(x)
    mean = x.mean(axis=0)
    centred = x - mean
    variances = (centred**2).sum(axis=0) / (n - 1)
    variances[variances <= 1e-26 * mean**2] = 0.0
    _refuse_constant(name, variances)
    values, vectors = np.linalg.eigh(centred @ centred.T / (n - 1))
    values, vectors = values[::-1], vectors[:, ::-1]
    keep = values > values[0] * n * np.finfo(float).eps
    values, vectors = values[keep], vectors[:, keep]
    directions = (vectors[:, :k].T @ centred) / np.sqrt((n - 1) * values[:k, None])
    return _axes(n, mean, values, directions, variances, k)


def _axes(n, mean, values, directions, variances, k) -> PrincipalAxes:
    d = len(mean)
    rank = int((values > values[0] * d * np.finfo(float).eps).sum())
    rank = min(rank, n - 1)
    directions = first_sign(np.ascontiguousarray(directions[: min(k, rank)]))
    return PrincipalAxes(n, d, mean, directions, np.ascontiguousarray(values[:rank]), variances)


def _refuse_constant(name: str, variances: np.ndarray) -> None:
    if not variances.any():
        raise InputError(
            f"every unit of {name} is constant", "activations that differ between rows", "Choose another tap"
        )


def _refuse_large(name: str, n: int, d: int) -> None:
    side = min(n, d)
    if side > LARGEST_SIDE:
        raise TooLarge(
            f"{name} needs a dense {side:,} x {side:,} eigenproblem ({3 * side**2 * 8 / 2**30:.1f} GiB)",
            f"at most {LARGEST_SIDE:,} rows or {LARGEST_SIDE:,} units",
            "Use a pooled tap, fewer rows, or a narrower tap",
        )
