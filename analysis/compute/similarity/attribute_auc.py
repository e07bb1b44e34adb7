"""How well a known factor can be read from a representation, on one scale for classes and numbers: the chance that a
held-out linear probe orders two samples right.

Classes: AUC of each class against the rest, averaged over classes. A number: the same for pairs of samples by their
value (concordance, (τ + 1) / 2). Pairs are compared inside one fold of the cross-validation only, since the outputs of
different fits have different offsets. 1/2 without any relation, exactly, under samples exchanged inside a fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from analysis.compute.linear.ridge_probe import held_out_predictions
from analysis.compute.rows.known_factors import Factor
from analysis.compute.similarity.similarity_report import jackknife_half
from analysis.spec import Progress, no_progress


@dataclass(frozen=True)
class AttributeAuc:
    """`value` with its 95 % interval, `null` mean and `p` by moved factors."""

    value: float
    low: float
    high: float
    null: float
    p: float


def attribute_aucs(
    x: np.ndarray,
    factors: Sequence[Factor],
    fold: np.ndarray,
    group: np.ndarray,
    moves: np.ndarray,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> list[AttributeAuc]:
    """One for each factor from `x` (n, d). `fold` (n,); jackknife `group` (n,); `moves` (draws, n) orders of the
    samples. Time O(folds n d min(n, d) + draws n (r + ln n) k), n² for a number."""
    out = []
    for i, factor in enumerate(factors):
        ends = tuple(span[0] + (span[1] - span[0]) * (i + j) / len(factors) for j in (0, 1))
        out.append(_one(x[factor.known], factor, fold[factor.known], group[factor.known],
                        [np.argsort(np.argsort(m[factor.known])) for m in moves], progress, ends))  # fmt: skip
    return out


def _one(x, factor: Factor, fold, group, orders, progress, span) -> AttributeAuc:
    targets = factor.targets()
    every = [np.arange(len(x)), *orders]
    y = np.concatenate([targets[o] for o in every], axis=1)
    of = np.repeat(np.arange(len(every)), targets.shape[1])
    predicted = held_out_predictions(x, y, of, fold, None, progress, span)
    values = np.array([ordered_right(predicted[:, of == i], targets[o], fold) for i, o in enumerate(every)])
    stay = [group != g for g in range(int(group.max()) + 1)]
    mine = predicted[:, of == 0]
    series = [values[0], *(ordered_right(mine[s], targets[s], fold[s]) for s in stay)]
    half = float(np.nan_to_num(jackknife_half(np.array(series)), nan=1.0))
    value, null = float(values[0]), values[1:]
    spread = float(null.std(ddof=1))
    away = (value - 0.5) / (spread * np.sqrt(1 + 1 / len(null))) if spread > 0 else 0.0
    p = float(stdtr(len(null) - 1, -away))
    return AttributeAuc(value, max(value - half, 0.0), min(value + half, 1.0), float(null.mean()), p)


def ordered_right(scores: np.ndarray, targets: np.ndarray, fold: np.ndarray) -> float:
    """Share of the pairs of one fold with different `targets` (n, k) that `scores` (n, k) order alike, ties half,
    averaged over the columns that have such pairs; 1/2 where none has. O(n² k) at most."""
    right, pairs = np.zeros(targets.shape[1]), np.zeros(targets.shape[1])
    for f in np.unique(fold):
        a, b = scores[fold == f], targets[fold == f]
        for j in range(b.shape[1]):
            r, m = _concordant(a[:, j], b[:, j])
            right[j] += r
            pairs[j] += m
    return float((right[pairs > 0] / pairs[pairs > 0]).mean()) if (pairs > 0).any() else 0.5


def _concordant(score: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Pairs of different target (m), and how many of them the score orders alike, ties half."""
    kinds = np.unique(target)
    if len(kinds) == 2:  # by ranks
        member = target == kinds[1]
        low = np.sort(score[~member])
        above = np.searchsorted(low, score[member], "left") + np.searchsorted(low, score[member], "right")
        return float(above.sum()) / 2, float(member.sum() * (~member).sum())
    sign = np.sign(target[:, None] - target)
    return float((1 + np.sign(score[:, None] - score) * sign)[sign > 0].sum()) / 2, float((sign > 0).sum())
