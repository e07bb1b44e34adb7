"""How far the rows of a classifier are from a simplex, base and novel classes apart.

    cos(w_a, w_b) = -1 / (K - 1) for all pairs of a simplex of K classes (a simplex equiangular tight frame)
    distance      sqrt(mean over pairs of (cos + 1 / (K - 1))²)

Rows that point anywhere alike in d dimensions have E cos = 0 and E cos² = 1 / d.

References: V. Papyan, X. Han & D. Donoho (2020), "Prevalence of neural collapse during the terminal phase of deep
learning training"; Y. Yang et al. (2023), "Neural collapse inspired feature-classifier alignment for few-shot
class-incremental learning".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.statistics.sample_groups import jackknife_half

ALL, BASE, NOVEL, ACROSS = "all classes", "base classes", "novel classes", "base with novel classes"
KINDS = (ALL, BASE, NOVEL, ACROSS)


@dataclass(frozen=True)
class SimplexDistance:
    """Of one kind of pairs: `distance` and `cosine` (means over pairs), half widths of both, what random rows give as
    (mean, low, high) of both; `classes` that take part; `simplex`, the cosine -1 / (K - 1)."""

    distance: float
    cosine: float
    halves: np.ndarray | None
    null: np.ndarray
    classes: int
    simplex: float


def simplex_distances(
    rows: np.ndarray,
    novel: np.ndarray,
    k: int,
    middle: np.ndarray | None,
    draws: int,
    rng: np.random.Generator,
) -> dict[str, SimplexDistance]:
    """By kind of pairs, those kinds that have a pair; of `rows` (C, d) of a classifier of k, at least three, `novel`
    (C,) bool. `middle` (d,) is taken off, the mean of all k rows; None: nothing is. O(draws k d); intervals leave one
    class out at a time."""
    free = []
    for _ in range(draws):
        drawn = rng.standard_normal((k, rows.shape[1]))
        free.append(cosines((drawn if middle is None else drawn - drawn.mean(axis=0))[: len(rows)]))
    own, out, every = cosines(rows if middle is None else rows - middle), {}, np.arange(len(rows))
    for kind in KINDS:
        take = pairs_of(kind, novel)
        if not take.any():
            continue
        null = np.array([_two(c, take, k) for c in free])
        sides = (take | take.T).any(axis=1)
        some = [_two(own, take & (every[:, None] != c) & (every != c), k) for c in every[sides]]
        some = [v for v in some if np.isfinite(v).all()]
        at = np.stack([null.mean(axis=0), *np.percentile(null, [2.5, 97.5], axis=0)])
        half = jackknife_half(np.array(some))
        out[kind] = SimplexDistance(*_two(own, take, k), half, at, int(sides.sum()), -1 / (k - 1))
    return out


def cosines(rows: np.ndarray) -> np.ndarray:
    """(C, C); 0 with a row of zeros."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.where(length > 1e-12 * max(float(length.max(initial=0)), 1e-300), length, np.inf)
    return unit @ unit.T


def pairs_of(kind: str, novel: np.ndarray) -> np.ndarray:
    """(C, C) bool above the diagonal."""
    a, b = novel[:, None], novel[None]
    of = {ALL: np.ones((len(novel),) * 2, bool), BASE: ~a & ~b, NOVEL: a & b, ACROSS: a ^ b}
    return np.triu(of[kind], 1)


def _two(c: np.ndarray, take: np.ndarray, k: int) -> tuple[float, float]:
    values = c[take]
    if not len(values):
        return np.nan, np.nan
    return float(np.sqrt(np.square(values + 1 / (k - 1)).mean())), float(values.mean())
