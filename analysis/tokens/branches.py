"""What is made of two branches as a mix of them: y ≈ α a + (1 - α) b in least squares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.statistics.sample_groups import jackknife_half, sample_groups
from analysis.errors import InputError

DRAWS = 20  # exchanges of the null


@dataclass(frozen=True)
class Mix:
    """α, half the width of its interval (NaN: none), `null`, the share `fits` that it explains, `apart` |a - b|² over
    |a|² + |b|²."""

    alpha: float
    half: float
    null: float
    fits: float
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
    null = []
    for _ in range(DRAWS):
        order = rng.permutation(n)
        null.append(float(mix_of(a[order], b[order], y)[0].sum() / size.sum()))
    middle = np.square(y - (a + b) / 2).sum()
    left = np.square(y - alpha * a - (1 - alpha) * b).sum()
    fits = 1 - float(left / middle) if middle > 1e-24 * whole else 1.0
    return Mix(alpha, float("nan") if half is None else float(half), float(np.mean(null)), fits,
               float(size.sum() / whole), n)  # fmt: skip
