"""What one column loses when a concept is erased: paired scores, as many random directions, and the association."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.groups.concept import Concept
from analysis.compute.rows.known_factors import NOT_FACTORS, factor_of
from analysis.compute.statistics.nulls import add_one_p, bootstrap
from analysis.compute.statistics.paired_gain import gain_interval
from analysis.compute.subspaces.erasing import FEWEST, Halves
from analysis.compute.subspaces.erasure import Eraser
from analysis.compute.subspaces.probes import Score, probe_folds, scored

LEVEL = 0.05


@dataclass(frozen=True)
class Controls:
    """`nothing` taken; the `eraser` asked about; as many `random` directions; the same method on `exchanged` values."""

    nothing: Eraser
    eraser: Eraser
    random: Sequence[Eraser]
    exchanged: Sequence[Eraser]


@dataclass(frozen=True)
class Loss:
    """One column: its concept over `at` (m,) of the held-out samples, its scores before and after, the `damage` with
    its interval, and the damage by draws of `random` directions and of `exchanged` values."""

    concept: Concept
    at: np.ndarray
    association: float
    before: Score
    after: Score
    random: np.ndarray
    exchanged: np.ndarray
    damage: tuple[float, float, float]

    @property
    def p(self) -> float:
        """Of so much damage from erasing a meaningless concept the same way."""
        return float(add_one_p(self.damage[0], self.exchanged))

    @property
    def damaged(self) -> bool:
        value, low, _ = self.damage
        return self.before.reads and low > 0 and value > self.random.max() and self.p <= LEVEL


def readable_columns(
    activations: Activations, held: np.ndarray, erased: Concept, own: str, fewest: int
) -> tuple[list[tuple[Concept, np.ndarray]], list[str]]:
    """(concept, which of the samples `held` (m,) have it) of the erased concept and of every column but `own`, with
    `fewest` samples of each class; the names of columns left out."""
    found, left_out = [(erased, np.arange(len(held)))], []
    for name in activations.samples:
        if name in NOT_FACTORS or name == own:
            continue
        factor, concept = factor_of(name, sample_column(activations, name)[held]), None
        if factor is not None:
            at = np.flatnonzero(factor.known)
            of, values = (None, factor.values[at]) if factor.is_number else (factor.of[at], None)
            if len(at) >= 2 * FEWEST and (of is None or np.bincount(of).min() >= fewest):
                concept = Concept(name, of, factor.classes, values)
        if concept is None:
            left_out.append(name)
        else:
            found.append((concept, at))
    return found, left_out


def loss_of(
    halves: Halves, controls: Controls, concept: Concept, at: np.ndarray, how: tuple[int, str], rng
) -> Loss:
    """Of one column over the held-out samples `at`; `how`: number of folds and probe."""
    fold, seed = probe_folds(concept, how[0], rng), int(rng.integers(2**31))
    scores = [
        scored(e(halves.x[at]), concept, fold, how[1], halves.moments.scale, np.random.default_rng(seed), bare=i > 1)
        for i, e in enumerate((controls.nothing, controls.eraser, *controls.random, *controls.exchanged))
    ]  # fmt: skip
    before, after = scores[:2]
    lost = np.array([before.value - s.value for s in scores[2:]])
    random, exchanged = np.split(lost, [len(controls.random)])
    association = _association(halves.concept.only(at), concept)
    return Loss(concept, at, association, before, after, random, exchanged, _damage(before, after, rng))


def _damage(before: Score, after: Score, rng) -> tuple[float, float, float]:
    """Value and 95 % interval of before - after, of the same samples."""
    value = before.value - after.value
    if before.right.ndim == 1:
        low, high = gain_interval(after.right, before.right, rng)
        return value, low, high
    more, whole = after.right[:, 0] - before.right[:, 0], before.right[:, 1]
    low, high = bootstrap(np.arange(len(more)), lambda i: more[i].sum(axis=1) / whole[i].sum(axis=1), rng)
    return value, min(low, value), max(high, value)


def _association(one: Concept, other: Concept) -> float:
    """Share of the squares of `one` (indicators or number, centred) that least squares on `other` explains."""
    z, basis = (_spread(c) for c in (one, other))
    frame = np.linalg.svd(basis, full_matrices=False)
    inside = frame[0][:, frame[1] > 1e-9 * max(frame[1][0], 1e-300)]
    return float(((inside.T @ z) ** 2).sum() / max((z**2).sum(), 1e-300))


def _spread(c: Concept) -> np.ndarray:
    z = c.values[:, None] if c.is_number else (c.of[:, None] == np.arange(len(c.classes))).astype(float)
    return z - z.mean(axis=0)
