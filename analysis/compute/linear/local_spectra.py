"""Singular values of many matrices of one shape, one a sample: the Jacobians of a layer, and how many count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.arrays import chosen_samples
from analysis.compute.rows.some_samples import some_samples
from analysis.compute.statistics.nulls import gaussian_eigenvalues
from analysis.compute.streaming import Pass, finite_blocks, refuse_few
from analysis.spec import Progress

FEWEST = 3
BY_HAND = (
    "Rows of a sample are taken as the units of a layer and columns as input coordinates: a stored Jacobian."
)


@dataclass(frozen=True)
class LocalSpectrum:
    """One layer: singular values (n, k) of matrices (outputs, inputs) good to `rounding`; `notes`."""

    values: np.ndarray
    outputs: int
    inputs: int
    rounding: float
    notes: tuple[str, ...]

    def counts(self, thresholds) -> np.ndarray:
        """(n, thresholds) singular values above each share of the largest."""
        relative = self.values / np.maximum(self.values[:, :1], 1e-300)
        return (relative[:, :, None] > np.asarray(thresholds)).sum(axis=1)


def stored_jacobians(
    tap: Activations, maximum: int, rng: np.random.Generator, progress: Progress, span: tuple[float, float]
) -> LocalSpectrum:
    """Matrices (rows of a sample, units) that a tap holds, of at most `maximum` samples, a random part above;
    those without all rows finite are left out. Raises NotEnoughData below three."""
    seen, blocks, owners = Pass(), [], []
    total = tap.layout.n_samples
    samples = chosen_samples(total, maximum, rng)
    part, _ = some_samples(tap, samples)
    for rows, block in finite_blocks(part, seen, progress, "reading Jacobians", span):
        blocks.append(block)
        owners.append(part.layout.sample_of(rows))
    refuse_few(tap.name, sum(map(len, blocks)), FEWEST)
    x, owner, sizes = np.concatenate(blocks), np.concatenate(owners), np.diff(part.layout.offsets)
    numbers, starts, counts = np.unique(owner, return_index=True, return_counts=True)
    whole = counts == sizes[numbers]
    refuse_few(tap.name, int(whole.sum()), FEWEST, "sample(s) with a finite Jacobian")
    most = min(int(counts[whole].max()), x.shape[1])
    values = np.zeros((int(whole.sum()), most))
    for i, (start, count) in enumerate(zip(starts[whole], counts[whole], strict=True)):
        found = np.linalg.svd(x[start : start + count], compute_uv=False)
        values[i, : len(found)] = found
    notes = [BY_HAND, *seen.notes]
    if len(samples) < total:
        notes.append(f"A random {len(samples):,} of {total:,} samples used.")
    if len(values) < len(samples):
        notes.append(f"{len(values):,} of {len(samples):,} samples have a finite Jacobian and are used.")
    if counts[whole].min() < counts[whole].max():
        notes.append(f"Jacobians have {counts[whole].min()} to {counts[whole].max()} rows.")
    kind = np.dtype(getattr(tap, "dtype", None) or np.asarray(tap.take([0])).dtype)
    return LocalSpectrum(
        values, int(counts[whole].max()), x.shape[1], float(np.finfo(kind).eps), tuple(notes)
    )


def gaussian_jacobians(layer: LocalSpectrum, draws: int, rng) -> LocalSpectrum:
    """Gaussian matrices of the same shape. O(draws outputs³), whatever the inputs."""
    small, large = sorted((layer.outputs, layer.inputs))
    values = np.sqrt(gaussian_eigenvalues(np.ones(small), large + 1, rng, draws))
    return LocalSpectrum(values, layer.outputs, layer.inputs, layer.rounding, ())
