"""Plain fits of classical dictionaries to rows in memory, for who fits many times: atoms alone, to fewer digits."""

from __future__ import annotations

import numpy as np

from analysis.compute.clusters.kmeans import kmeans
from analysis.compute.linear.linalg import principal_components
from analysis.features.classical.ica import turned
from analysis.features.classical.nmf import factorised
from analysis.features.nonnegative import nonnegative_codes

NMF, ICA, PCA, KMEANS = "NMF", "ICA", "PCA", "k-means"
SIGNED = (NMF, KMEANS)  # kinds of which the sign of a direction means something
SWEEPS, STEPS, SETTLED = 80, 100, 1e-4  # of NMF; of ICA


def fitted_atoms(x: np.ndarray, k: int, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Atoms (k, d), 0 where there are fewer, and the centre (d,) that they are about, for rows `x` (n, d)."""
    if kind == NMF:
        return factorised(x, k, rng, SWEEPS, SETTLED)[1], np.zeros(x.shape[1])
    if kind == KMEANS:
        mean = x.mean(axis=0)
        return _filled(kmeans(x - mean, k, rng, 1).centres, k), mean
    mean, axes, values = principal_components(x, k)
    if kind == ICA:
        colour = axes * np.sqrt(values)[:, None]
        axes = turned((x - mean) @ axes.T / np.sqrt(values), rng, STEPS, SETTLED)[0] @ colour
    return _filled(axes, k), mean


def _filled(atoms: np.ndarray, k: int) -> np.ndarray:
    return np.vstack([atoms, np.zeros((k - len(atoms), atoms.shape[1]))])


def left_over(x: np.ndarray, atoms: np.ndarray, centre: np.ndarray, kind: str) -> float:
    """Share of the squares of `x` (n, d) about the centre that the atoms do not explain."""
    z = x - centre
    if kind == NMF:
        rebuilt = nonnegative_codes(z, atoms) @ atoms
    elif kind == KMEANS:
        rebuilt = atoms[((atoms**2).sum(axis=1) - 2 * z @ atoms.T).argmin(axis=1)]
    else:
        rebuilt = z @ np.linalg.pinv(atoms) @ atoms
    return float(((z - rebuilt) ** 2).sum() / max(float((z**2).sum()), np.finfo(float).tiny))
