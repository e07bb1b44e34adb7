"""Distances between subspaces, each a function of the principal angles θ_1 <= … <= θ_m; m = min(p, q).

    geodesic (Grassmann)   sqrt(Σ θ²)                    Asimov         θ_m
    chordal                sqrt(Σ sin² θ)                projection     sin θ_m
    Procrustes             2 sqrt(Σ sin² (θ / 2))        Fubini-Study   arccos Π cos θ
    Binet-Cauchy           sqrt(1 - Π cos² θ)            Martin         sqrt(-Σ ln cos² θ)

For one dimension, p = q, all but Martin's are metrics; Martin's breaks the triangle inequality (it is convex along a
turning line: from 0 to 2a is more than twice from 0 to a) and is infinite where an angle is right.

Different dimensions (Ye & Lim 2016), two readings. *Inside*: the m angles there are; it is the distance from the
smaller one to the nearest subspace of its dimension inside the larger one, 0 where one holds the other, and no
metric. *Metric*: |p - q| right angles are added. That is the distance of A ⊕ E_{r - p} and B ⊕ E_{r - q}, where r is
any dimension as large as both and E_j spans the first j of r new coordinates that all subspaces share (min(r - p, r -
q) of them give angles of 0, the other |p - q| are at right angles to everything): so every metric of one dimension is
one across dimensions. The chordal one is sqrt(max(p, q) - Σ cos² θ), the symmetric directional distance of Sun, Wang
& Feng (2007).

References: K. Ye & L.-H. Lim (2016), "Schubert varieties and distances between subspaces of different dimensions";
A. Edelman, T. Arias & S. Smith (1998), "The geometry of algorithms with orthogonality constraints"; R. Martin (2000),
"A metric for ARMA processes"; D. Asimov (1985); X. Sun, L. Wang & J. Feng (2007).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

RIGHT = np.pi / 2
ROUNDED = 1e-12  # cosines below are those of right angles
INSIDE, METRIC = "inside", "metric"
UNEQUAL = (INSIDE, METRIC)


@dataclass(frozen=True)
class Distance:
    """`of` maps angles (…, m) to distances (…,); `most(m)` is its value for m right angles; `metric`: it keeps the
    triangle inequality among subspaces of one dimension."""

    name: str
    formula: str
    of: Callable[[np.ndarray], np.ndarray]
    most: Callable[[int], float]
    metric: bool = True


def _log_cosines(angles: np.ndarray) -> np.ndarray:
    """Σ ln cos² θ (…,), exact for small angles; -infinity where an angle is right."""
    sines, cosines = np.sin(angles) ** 2, np.cos(angles)
    near = sines < 0.5
    logs = np.where(near, np.log1p(-np.where(near, sines, 0.0)), 2 * np.log(np.maximum(cosines, ROUNDED)))
    return np.where((cosines < ROUNDED).any(axis=-1), -np.inf, logs.sum(axis=-1))


def chordal(angles: np.ndarray) -> np.ndarray:
    return np.sqrt((np.sin(angles) ** 2).sum(axis=-1))


def geodesic(angles: np.ndarray) -> np.ndarray:
    return np.sqrt((angles**2).sum(axis=-1))


def asimov(angles: np.ndarray) -> np.ndarray:
    return np.max(angles, axis=-1)


def projection(angles: np.ndarray) -> np.ndarray:
    return np.sin(np.max(angles, axis=-1))


def procrustes(angles: np.ndarray) -> np.ndarray:
    return 2 * np.sqrt((np.sin(angles / 2) ** 2).sum(axis=-1))


def binet_cauchy(angles: np.ndarray) -> np.ndarray:
    return np.sqrt(-np.expm1(_log_cosines(angles)))


def fubini_study(angles: np.ndarray) -> np.ndarray:
    logs = _log_cosines(angles)
    return np.arctan2(np.sqrt(-np.expm1(logs)), np.exp(logs / 2))


def martin(angles: np.ndarray) -> np.ndarray:
    return np.sqrt(-_log_cosines(angles))


DISTANCES = {
    d.name: d
    for d in (
        Distance("chordal", "sqrt(Σ sin² θ)", chordal, lambda m: np.sqrt(m)),
        Distance("geodesic", "sqrt(Σ θ²)", geodesic, lambda m: RIGHT * np.sqrt(m)),
        Distance("Procrustes", "2 sqrt(Σ sin² (θ / 2))", procrustes, lambda m: np.sqrt(2 * m)),
        Distance("Asimov", "the largest angle", asimov, lambda m: RIGHT),
        Distance("projection", "sine of the largest angle", projection, lambda m: 1.0),
        Distance("Fubini-Study", "arccos Π cos θ", fubini_study, lambda m: RIGHT),
        Distance("Binet-Cauchy", "sqrt(1 - Π cos² θ)", binet_cauchy, lambda m: 1.0),
        Distance("Martin", "sqrt(-Σ ln cos² θ)", martin, lambda m: np.inf, metric=False),
    )
}


def with_right_angles(angles: np.ndarray, p: int, q: int) -> np.ndarray:
    """Angles (…, min(p, q)) of subspaces of dimensions `p` and `q` with the |p - q| right angles of the metric reading:
    (…, max(p, q))."""
    wide = [(0, 0)] * (np.ndim(angles) - 1) + [(0, abs(p - q))]
    return np.pad(angles, wide, constant_values=RIGHT)


def distance(name: str, angles: np.ndarray, p: int, q: int, unequal: str = INSIDE) -> np.ndarray:
    """The distance `name` (…,) of subspaces of dimensions `p` and `q` from their angles (…, min(p, q))."""
    return DISTANCES[name].of(with_right_angles(angles, p, q) if unequal == METRIC else angles)
