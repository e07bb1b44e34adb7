"""Where the noise in a tap's spectrum ends: by the law of noise of one variance, or by moving the units' samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.linear.axis_null import moved_eigenvalues
from analysis.compute.linear.linalg import principal_axes
from analysis.compute.linear.spiked import Noise, noise_in, noise_p
from analysis.compute.linear.tap_spectrum import TapSpectrum
from analysis.compute.statistics.nulls import add_one_p
from analysis.spec import Progress, no_progress


@dataclass(frozen=True)
class Edges:
    """`variance` of the noise, the `middle` of where its largest eigenvalue lies, the `edge` above which an eigenvalue
    (r,) is `signal`, `p` (r,) and the ratio `c`; all but the first in noise variances."""

    variance: float
    edge: float
    middle: float
    signal: np.ndarray
    p: np.ndarray
    c: float


def edges_of(spectrum: TapSpectrum) -> Edges:
    """By the law: the edge is what the largest eigenvalue of noise exceeds in 5 % of cases."""
    lam, noise = spectrum.values, _noise(spectrum)
    v = noise.variance
    p = noise_p(lam / v, noise.n, noise.units)
    return Edges(v, noise.edge / v, noise.middle / v, lam > noise.edge, p, noise.c)


def moved_edges(
    spectrum: TapSpectrum,
    rows: Activations,
    draws: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Edges:
    """By the largest of `draws` spectra of `rows` (those of the spectrum) whose units' samples were moved each on its
    own. O(draws n d min(n, d)), memory O(n d)."""
    lam, noise = spectrum.values, _noise(spectrum)
    v = noise.variance
    largest = moved_eigenvalues(rows, principal_axes(rows, 1), draws, rng, progress, span)[:, 0]
    p = add_one_p(lam, np.tile(largest[:, None], len(lam)))
    edge, middle = float(largest.max()) / v, float(np.median(largest)) / v
    return Edges(v, edge, middle, lam > largest.max(), p, noise.c)


def _noise(spectrum: TapSpectrum) -> Noise:
    return noise_in(spectrum.values, spectrum.n, spectrum.d - spectrum.constant)
