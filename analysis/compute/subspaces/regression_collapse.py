"""Regression collapse: do features vary only in as many directions as the targets have, and are these the targets?

With centred features H (n, d) = U S Vᵀ, centred targets Y (n, m) of rank r:

    variance outside       1 - Σ_{i<=r} s_i² / Σ s_i²
    targets explained      |U_rᵀ Y|² / |Y|²                chance r / (n - 1)
    overlap with readout   Σ cos² θ / r between span(V_r) and the rows of the least-squares readout H⁺ Y;
                           chance r / rank(H)

Reference: G. Andriopoulos et al. (2024), "The prevalence of neural collapse in neural multivariate regression".
"""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.nulls import gaussian_eigenvalues
from analysis.compute.statistics.sample_groups import jackknife_half, sample_groups
from analysis.compute.subspaces.angles import overlap, overlap_by_chance, principal_angles
from analysis.results import Estimate

DRAWS = 20
Z = 1.959964
NAMES = ("feature variance outside", "target variance explained", "overlap with the readout")


def collapse(h: np.ndarray, y: np.ndarray, r: int | None = None) -> tuple[np.ndarray, int, int]:
    """The three numbers (3,), the targets' rank r (at most that of the features) and the rank of the features `h`
    (n, d); the overlap is NaN where a readout of all samples is no fit (rank of the features n - 1 or more).

    Raises ValueError where features or targets do not vary. O(n d min(n, d)).
    """
    h, y = h - h.mean(axis=0), y - y.mean(axis=0)
    left, s, right = np.linalg.svd(h, full_matrices=False)
    of_y = np.linalg.svd(y, compute_uv=False)
    if not s[0] > 0 or not of_y[0] > 0:
        raise ValueError("features and targets must vary")
    rank = int((s > s[0] * max(h.shape) * np.finfo(float).eps).sum())
    if r is None:
        r = int((of_y > of_y[0] * max(y.shape) * np.finfo(float).eps).sum())
    r = min(r, rank)
    outside = 1.0 - float((s[:r] ** 2).sum() / (s**2).sum())
    inside = float(((left[:, :r].T @ y) ** 2).sum() / (y**2).sum())
    same = np.nan
    if rank < len(h) - 1:
        readout = right[:rank].T @ ((left[:, :rank].T @ y) / s[:rank, None])
        basis, size, _ = np.linalg.svd(readout, full_matrices=False)
        basis = basis[:, :r][:, size[:r] > size[0] * 1e-12]
        same = float(overlap(principal_angles(right[:r].T, basis))) if basis.shape[1] else 0.0
    return np.array([max(outside, 0.0), min(inside, 1.0), same]), r, rank


def collapse_estimates(
    h: np.ndarray, y: np.ndarray, rng: np.random.Generator, notes: list[str]
) -> tuple[Estimate, ...]:
    """The numbers with intervals (groups of samples left out) and nulls; `notes` is told what is not given."""
    values, r, rank = collapse(h, y)
    n, d = h.shape
    without = []
    for group in sample_groups(n, rng):
        stay = np.ones(n, bool)
        stay[group] = False
        without.append(collapse(h[stay], y[stay], r)[0])
    half = jackknife_half(np.array(without))
    spectra = gaussian_eigenvalues(h.var(axis=0, ddof=1), n, rng, draws=DRAWS if d <= 700 else 3)
    outside = 1 - spectra[:, :r].sum(axis=1) / spectra.sum(axis=1)
    nulls = (
        {"null": float(outside.mean()), "null_low": float(outside.min()), "null_high": float(outside.max()),
         "null_method": f"Gaussian features of independent units, {len(outside)} draws: mean, least, most"},
        {"null": r / (n - 1), "null_method": "unrelated targets, exactly: r / (n - 1)"},
        _overlap_null(r, rank),
    )  # fmt: skip
    made = []
    for name, value, width, null in zip(NAMES, values, half, nulls, strict=True):
        if not np.isfinite(value):
            notes.append(
                f"No readout is fitted: the features span {rank} directions of {n} samples, and any targets would fit."
            )
            continue
        ends = {}
        if np.isfinite(width):
            low, high = max(float(value - width), 0.0), min(float(value + width), 1.0)
            ends = {"low": low, "high": high, "interval": "jackknife over groups of samples, t"}
        made.append(
            Estimate(
                name, float(value), **ends, **null, n=n, d=d, estimator=f"r = {r} direction(s) of the targets"
            )
        )
    return tuple(made)


def _overlap_null(r: int, rank: int) -> dict:
    mean, deviation = overlap_by_chance(r, r, rank)
    return {
        "null": mean, "null_low": max(mean - Z * deviation, 0.0), "null_high": min(mean + Z * deviation, 1.0),
        "null_method": "random directions among those of the features, exact mean and deviation",
    }  # fmt: skip
