"""The mean and the median of several subspaces of one dimension, in the chordal distance.

With projections P_i = X_i X_iᵀ the squared chordal distance is ½ ‖P - P_i‖² = k - ‖XᵀX_i‖² = Σ sin² θ. So the subspace
with the least (weighted) sum of squared distances holds the first k eigenvectors of Σ w_i P_i, exactly: the Grassmann
case of the flag mean (Marrinan et al. 2014; Mankovich & Birdal 2023). The median has the least sum of distances
themselves; it is found by reweighting, w_i = 1 / distance_i (Weiszfeld), each step of which lowers the sum. The sum may
have several minima, often at members that lie apart, so that it is started from many places and the lowest is taken.

References: A. Srivastava & E. Klassen (2002); T. Marrinan et al. (2014), "Finding the subspace mean or median to fit
your need"; N. Mankovich & T. Birdal (2023), "Chordal averaging on flag manifolds and its applications".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NEAREST = 1e-9  # a distance below has the weight of this one: the median lies on a member
STEPS, SETTLED = 200, 1e-10


@dataclass(frozen=True)
class Average:
    """`basis` (d, k) and the eigenvalues (N k,) of the weighted mean projection, falling: in [0, 1] for weights with
    sum 1; what they have beyond k is what the members do not share. `weights` (N,) with sum 1; `steps` taken."""

    basis: np.ndarray
    eigenvalues: np.ndarray
    weights: np.ndarray
    steps: int = 1


def mean_subspace(bases: Sequence[np.ndarray], weights: np.ndarray | None = None) -> Average:
    """Chordal mean of N subspaces (d, k). Time O(d N² k²)."""
    n, k = len(bases), bases[0].shape[1]
    weights = np.full(n, 1.0 / n) if weights is None else weights / weights.sum()
    stacked = np.hstack([np.sqrt(w) * b for w, b in zip(weights, bases, strict=True)])
    left, sizes, _ = np.linalg.svd(stacked, full_matrices=False)
    return Average(left[:, :k], sizes**2, weights)


def median_subspace(bases: Sequence[np.ndarray], weights: np.ndarray | None = None) -> Average:
    """Chordal median of N subspaces (d, k): the best that reweighting finds from the mean and from half-way to each
    member, or from the mean with `weights` (N,) alone. Up to 200 steps of O(min(d, N k) N² k²) from each."""
    span = np.linalg.qr(np.hstack(bases))[0]  # every step stays inside
    inside = [span.T @ b for b in bases]
    starts = [mean_subspace(inside, weights).basis]
    if weights is None:
        starts += [mean_subspace([starts[0], b], np.array([1.0, 2.0])).basis for b in inside]
    found = [_reweighted(inside, basis) for basis in starts]
    best = found[int(np.argmin([chordal_to(f.basis, inside).sum() for f in found]))]
    return Average(span @ best.basis, best.eigenvalues, best.weights, best.steps)


def _reweighted(bases: Sequence[np.ndarray], basis: np.ndarray) -> Average:
    """Steps of w_i = 1 / distance_i from `basis` until the sum of distances falls no more."""
    last, step = np.inf, 0
    while step < STEPS:
        step += 1
        distances = chordal_to(basis, bases)
        found = mean_subspace(bases, 1.0 / np.maximum(distances, NEAREST))
        basis, total = found.basis, distances.sum()
        if not total < last * (1 - SETTLED):
            break
        last = total
    return Average(found.basis, found.eigenvalues, found.weights, step)


def chordal_to(basis: np.ndarray, bases: Sequence[np.ndarray]) -> np.ndarray:
    """(N,) chordal distances sqrt(Σ sin² θ) of `basis` (d, k) to each: the length of what each has outside of it, which
    keeps small distances exact."""
    return np.array([np.linalg.norm(b - basis @ (basis.T @ b)) for b in bases])


def all_chordal(bases: Sequence[np.ndarray]) -> np.ndarray:
    """(N, N) chordal distances of every two."""
    return np.array([chordal_to(b, bases) for b in bases])


def classical_scaling(distances: np.ndarray, axes: int = 2) -> tuple[np.ndarray, float]:
    """Places (N, axes) whose distances are nearest to these by Torgerson's scaling, and the share of the positive
    eigenvalues they hold."""
    n = len(distances)
    centre = np.eye(n) - 1.0 / n
    values, vectors = np.linalg.eigh(-0.5 * centre @ distances**2 @ centre)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    places = np.zeros((n, axes))
    kept = min(axes, n)
    places[:, :kept] = vectors[:, :kept] * np.sqrt(values[:kept])
    strongest = np.abs(places).argmax(axis=0)
    places *= np.where(places[strongest, np.arange(axes)] < 0, -1.0, 1.0)
    total = values.sum()
    return places, float(values[:axes].sum() / total) if total > 0 else 1.0
