"""Do two groups differ at all? Their energy distance, and how well a linear rule tells held-out samples apart.

    E = 2/(n m) Σ|x_i - y_j| - 1/n² Σ|x_i - x_j| - 1/m² Σ|y_i - y_j|,   coefficient E / (2 mean |x_i - y_j|) in [0, 1]

0 only for equal distributions (Székely & Rizzo 2013). The rule is Fisher's discriminant with a shrunk covariance
made on the other folds; its AUROC is the chance that a held-out sample of the first group scores higher.
Both are held against labels exchanged between whole samples, which is right where the groups were named without a
look at these activations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.groups.two_groups import Entries, relabelled
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.linear.fisher import Basis, basis_of
from analysis.compute.neighbours.neighbours import as_points, near_one
from analysis.compute.rows.metric_space import squared_distances
from analysis.compute.statistics.auroc import midranks
from analysis.spec import Progress, no_progress

MOST_PAIRED = 1500  # entries whose distances are kept as one matrix
FOLDS = 5


@dataclass(frozen=True)
class Told:
    """A statistic with its values (draws,) under exchanged labels."""

    value: float
    null: np.ndarray


def energy(e: Entries, draws: int, rng: np.random.Generator) -> Told:
    """Energy coefficient of at most 1,500 random entries. Time O(m² (d + draws)), memory O(m²)."""
    some = np.arange(len(e.first))
    if len(some) > MOST_PAIRED:  # whole samples
        samples = np.unique(e.owner)
        kept = rng.choice(samples, size=int(MOST_PAIRED * len(samples) / len(some)), replace=False)
        some = np.flatnonzero(np.isin(e.owner, kept))
    part = Entries(e.values[some], e.first[some], e.owner[some])
    points = near_one(as_points(part.values)[0])[0]
    away = np.sqrt(squared_distances(points, points))
    np.fill_diagonal(away, 0.0)
    labels = np.vstack([part.first, relabelled(part, np.zeros(len(some), int), draws, rng)])
    found = energy_coefficients(away, labels)
    return Told(float(found[0]), found[1:])


def energy_coefficients(away: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Coefficients (b,) of distances (m, m) for each row of `labels` (b, m) bool; 0 where all points are equal."""
    first = labels / np.maximum(labels.sum(axis=1, keepdims=True), 1)
    second = ~labels / np.maximum((~labels).sum(axis=1, keepdims=True), 1)
    toward = first @ away
    across = (toward * second).sum(axis=1)
    inside = (toward * first).sum(axis=1) + ((second @ away) * second).sum(axis=1)
    return np.where(across > 0, 1 - inside / np.where(across > 0, 2 * across, 1.0), 0.0)


@dataclass(frozen=True)
class HeldOut:
    """`scores` (e,) of each entry by the rule that did not see its sample, positive for the first group; AUROC and
    balanced accuracy with their nulls."""

    scores: np.ndarray
    auroc: Told
    accuracy: Told


def held_out(
    e: Entries,
    draws: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> HeldOut:
    """Cross-validated discriminant, folds of whole samples with as many of each group as can be; labels are exchanged
    inside a fold. Time O(e d min(e, d)) and O(draws e d)."""
    start = np.unique(e.owner, return_index=True)[1]
    count = np.diff(np.append(start, len(e.owner)))
    kind = np.where(count > 1, 2, e.first[start].astype(int))
    fold = np.repeat(folds_of(kind, FOLDS, rng), count)
    points = near_one(as_points(e.values)[0])[0]
    labels = np.vstack([e.first, relabelled(e, fold, draws, rng)])
    scores = np.empty(labels.T.shape)
    for f in range(FOLDS):
        progress(span[0] + (span[1] - span[0]) * f / FOLDS, "telling the groups apart")
        basis = basis_of(points[fold != f])
        scores[fold == f] = rule_scores(basis, labels[:, fold != f], points[fold == f])
    found = np.array([auroc_of(scores, labels.T), balanced(scores, labels.T)])
    return HeldOut(
        scores[:, 0], Told(float(found[0, 0]), found[0, 1:]), Told(float(found[1, 0]), found[1, 1:])
    )


def rules(basis: Basis, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row of `labels` (b, n) bool, the direction (b, r) in the basis that separates its two groups, higher for
    the first, and the place (b,) halfway between their means. The covariance is the total one, shrunk as Ledoit & Wolf
    do, without a look at the labels (the direction is that of the covariance within groups where nothing is shrunk)."""
    z, values, d = basis.z, basis.values, basis.d_full
    mu, square = values.sum() / d, float((values**2).sum())
    noise = (float(((z**2).sum(axis=1) ** 2).mean()) - square) / len(z)
    apart = square - d * mu**2
    a = float(np.clip(noise / apart, 1e-8, 1.0)) if apart > 1e-14 * square else 1.0
    one = (labels / labels.sum(axis=1, keepdims=True)) @ z
    other = (~labels / (~labels).sum(axis=1, keepdims=True)) @ z
    weights = (one - other) / ((1 - a) * values + a * mu)
    return weights, ((one + other) / 2 * weights).sum(axis=1)


def rule_scores(basis: Basis, labels: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Scores (m, b) of new `points` (m, d) by the rule of each row of `labels`."""
    weights, middle = rules(basis, labels)
    return (points - basis.mean) @ basis.vectors @ weights.T - middle


def auroc_of(scores: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Chance (b,) that one of the first scores above one of the others, ties counting half: both (m, b)."""
    n = first.sum(axis=0)
    sums = (midranks(scores)[0] * first).sum(axis=0)
    return (sums - n * (n + 1) / 2) / (n * (len(first) - n))


def balanced(scores: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Mean over both groups of the share (b,) on the right side of 0, which itself counts half: both (m, b)."""
    right = (np.sign(scores) * np.where(first, 1, -1) + 1) / 2
    return (
        (right * first).sum(axis=0) / first.sum(axis=0) + (right * ~first).sum(axis=0) / (~first).sum(axis=0)
    ) / 2
