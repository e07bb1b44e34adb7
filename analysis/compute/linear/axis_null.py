"""What the eigenvalues of structureless data with the same units and samples would be."""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations, load_matrix
from analysis.compute.linear.linalg import PrincipalAxes
from analysis.compute.rows.points import PointSet
from analysis.compute.statistics.nulls import (
    gaussian_correlation,
    gaussian_eigenvalues,
    moved_samples,
    null_draws,
)
from analysis.spec import Progress, no_progress

MOST_BYTES = 2 << 30


def null_shares(points: PointSet, axes: PrincipalAxes, rng: np.random.Generator) -> np.ndarray:
    """Variance shares (draws, axes) of independent Gaussian units with the same variances and samples."""
    if points.of == "units":
        d, draws = axes.n, max(3, null_draws(axes.n) // 2)
        spectra = np.empty((draws, d))
        for i in range(draws):
            r = gaussian_correlation(d, points.n_samples, rng)
            r = r - r.mean(axis=0) - r.mean(axis=1)[:, None] + r.mean()
            spectra[i] = np.maximum(np.linalg.eigvalsh(r)[::-1], 0.0)
    else:
        spectra = gaussian_eigenvalues(axes.variances, min(points.n_samples, axes.n), rng)
    return spectra / spectra.sum(axis=1, keepdims=True)


def moved_eigenvalues(
    activations: Activations,
    axes: PrincipalAxes,
    draws: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray:
    """Eigenvalues (draws, d), falling, after each unit's samples were moved on their own.

    Heavy tails and the dependence of tokens inside a sample stay. Time O(draws n d min(n, d)), memory O(n d).

    Raises TooLarge when the tap takes more than 2 GiB.
    """
    loaded = load_matrix(activations, maximum_bytes=MOST_BYTES)
    layout = activations.layout
    counts = np.bincount(layout.sample_of(loaded.rows), minlength=layout.n_samples)
    offsets = np.concatenate([[0], np.cumsum(counts[counts > 0])])
    x = np.asarray(loaded.values, dtype=np.float64) - axes.mean
    out = np.zeros((draws, axes.d))
    for i in range(draws):
        progress(span[0] + (span[1] - span[0]) * i / draws, "moving samples")
        moved = moved_samples(x, rng, offsets)
        gram = moved.T @ moved if axes.n >= axes.d else moved @ moved.T
        out[i, : len(gram)] = np.maximum(np.linalg.eigvalsh(gram)[::-1], 0) / (axes.n - 1)
    return out
