"""What is made of two branches as a mix of them: y ≈ α a + (1 - α) b in least squares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.statistics.sample_groups import jackknife_half, sample_groups
from analysis.errors import InputError

DRAWS = 20  # exchanges of the null


@dataclass(frozen=True)
class Mix:
    """α, half the width of its interval (NaN: none), `null`, the share `fits` of the variance of y that the mix
    explains and the same by chance, `apart` |a - b|² over |a|² + |b|²."""

    alpha: float
    half: float
    null: float
    fits: float
    fits_null: float
    apart: float
    n: int


def mix_of(a: np.ndarray, b: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """((n,) <y - b, a - b>, (n,) |a - b|²) of samples: α is the ratio of their sums."""
    way = a - b
    return ((y - b) * way).sum(axis=1), np.square(way).sum(axis=1)


def mix(a, b, y, rng) -> Mix:
    along, size = mix_of(a, b, y)
    whole = float(np.square(a).sum() + np.square(b).sum())
    if not size.sum() > 1e-12 * whole:
        raise InputError("two branches that are equal", "branches that differ", "Choose taps of two branches")
    alpha, n = float(along.sum() / size.sum()), len(a)
    without = [(along.sum() - along[g].sum(), size.sum() - size[g].sum()) for g in sample_groups(n, rng)]
    half = jackknife_half(np.array([p / s for p, s in without if s > 0]))
    null, fits_null = [], []
    for _ in range(DRAWS):
        order = rng.permutation(n)
        null.append(float(mix_of(a[order], b[order], y)[0].sum() / size.sum()))
        fits_null.append(explained(a[order], b[order], y, null[-1]))
    return Mix(alpha, float("nan") if half is None else float(half), float(np.mean(null)),
               explained(a, b, y, alpha), float(np.mean(fits_null)), float(size.sum() / whole), n)  # fmt: skip


def explained(a, b, y, alpha: float) -> float:
    """1 - |y - the mix|² / |y - mean y|²: below 0 where the mean alone is nearer. Measured against y and not against
    the even mix, which a network with α = 1/2 passes on exactly."""
    whole = float(np.square(y - y.mean(axis=0)).sum())
    left = float(np.square(y - alpha * a - (1 - alpha) * b).sum())
    if whole <= 1e-24 * max(float(np.square(y).sum()), 1e-300):
        return 1.0 if left <= 1e-12 * max(float(np.square(y).sum()), 1e-300) else 0.0
    return 1 - left / whole
