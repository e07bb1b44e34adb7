"""How much of each of several targets a representation explains, on the samples it was fitted to and on samples left
out.

Least squares on an orthonormal basis Q (n, r): R² = |Qᵀy|² / |y|² for centred y, the squared multiple correlation
(the one canonical correlation of r units with one). Leaving one sample out needs no refit: its error is e_i / (1 -
h_i) with the residual e and the leverage h_i = |q_i|² + 1/n, and the held-out R² is 1 - Σ (e_i / (1 - h_i))² / Σ (y_i
- mean of the others)².

Null: samples of the target exchanged. R² has the mean r / (n - 1), the held-out one 1 - (n - 1) / n² Σ 1 / (1 - h_i),
a little below 0; both are quadratic forms Σ A_ij y_i y_j, whose variance under exchange is known exactly
(`exchange_moments`), for any data.

Reference: D. Allen (1974), "The relationship between variable selection and data augmentation and a method for
prediction" (PRESS).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.similarity.canonical import Side
from analysis.compute.statistics.exchange_moments import Centred, centred_moments

LONELY = 1e-6  # of 1 - h, below which a direction is one sample's own


@dataclass(frozen=True)
class Explained:
    """Of C targets: `series` (1 + G, C), R² of all samples and without each group; under exchanged samples its mean
    `null` (C,) and `deviation` (C,)."""

    series: np.ndarray
    null: np.ndarray
    deviation: np.ndarray


def without_lonely(basis: np.ndarray) -> tuple[np.ndarray, int]:
    """The basis (n, r) without the directions that one sample makes alone (leaving it out would leave nothing to fit
    them by), and how many these were."""
    n, lost = len(basis), 0
    while True:
        leverage = np.einsum("ij,ij->i", basis, basis) + 1 / n
        lonely = int(leverage.argmax())
        if 1 - leverage[lonely] > LONELY or basis.shape[1] == 0:
            return basis, lost
        own = basis[lonely] / np.linalg.norm(basis[lonely])
        basis = basis @ np.linalg.svd(own[None])[2][1:].T
        lost += 1


def held_out_shares(basis: np.ndarray, y: np.ndarray, group: np.ndarray) -> Explained:
    """Leave-one-out R² of the targets `y` (n, C), none of them constant; without each group by the same fits. O(n r
    (r + C))."""
    n = len(y)
    y = _unit(y)
    free = 1 - 1 / n - np.einsum("ij,ij->i", basis, basis)
    errors = ((y - basis @ (basis.T @ y)) / free[:, None]) ** 2
    whole = (y * (n / (n - 1))) ** 2
    sums = [(errors.sum(axis=0), whole.sum(axis=0))]
    sums += [(errors[group != g].sum(axis=0), whole[group != g].sum(axis=0)) for g in range(group.max() + 1)]
    scale = ((n - 1) / n) ** 2
    mean, deviation = _moments(_press(basis, free), y)
    return Explained(np.array([1 - e / w for e, w in sums]), 1 - mean * scale, deviation * scale)


def _press(basis: np.ndarray, free: np.ndarray) -> Centred:
    """Of A = M D² M with M = I - H, D = diag(1 / (1 - h)): Σ of squared left-out errors is yᵀA y."""
    n = len(basis)
    whole = np.column_stack([basis, np.full(n, 1 / np.sqrt(n))])
    square = 1 / free**2
    inner = whole.T @ (whole * square[:, None])
    own = square * (2 * free - 1) + np.einsum("ij,ij->i", whole @ inner, whole)
    squared = float((square**2 * (2 * free - 1)).sum() + np.vdot(inner, inner))
    return Centred(float((1 / free).sum()), squared, float(own @ own), n)


def in_sample_shares(side: Side, y: np.ndarray, group: np.ndarray) -> Explained:
    """R² of the targets `y` (n, C), none of them constant; without each group by a fit without it. O(n r C + G r²
    C)."""
    n = side.n
    y = _unit(y)
    parts = [y[group == g] for g in range(group.max() + 1)]
    crosses = [q.T @ p for q, p in zip(side.parts, parts, strict=True)]
    whole = np.sum(crosses, axis=0)
    series = [(whole**2).sum(axis=0)]
    for g, (cross, part) in enumerate(zip(crosses, parts, strict=True)):
        left, total = n - len(part), part.sum(axis=0)
        rest = side.whiteners[g].T @ (whole - cross - np.outer(side.sums[g], total) / left)
        length = 1 - (part**2).sum(axis=0) - total**2 / left
        series.append((rest**2).sum(axis=0) / np.where(length > LONELY, length, np.nan))
    null, deviation = _moments(side.gram, y)
    return Explained(np.minimum(series, 1.0), null, deviation)


def _unit(y: np.ndarray) -> np.ndarray:
    """Centred columns of length 1."""
    y = y - y.mean(axis=0)
    y = y / np.abs(y).max(axis=0)
    return y / np.sqrt((y**2).sum(axis=0))


def _moments(form: Centred, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (C,) of Σ A_ij y_i y_j under exchange, for columns of length 1."""
    found = [centred_moments(form, Centred(1.0, 1.0, float((c**4).sum()), len(y))) for c in y.T]
    return np.array([m for m, _ in found]), np.sqrt([v for _, v in found])
