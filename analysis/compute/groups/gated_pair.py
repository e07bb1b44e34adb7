"""A gate over the units for two groups of samples: made on one half of the samples, judged on the other.

Everything that a label decides (penalty, gate, rule) is a function of the labels given, so that it can be repeated
whole under exchanged labels: the choice of the gate is then part of the null.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.groups.group_effects import group_effects
from analysis.compute.groups.group_tests import auroc_of, rule_scores
from analysis.compute.groups.mean_difference import halves
from analysis.compute.groups.sparse_logistic import chosen_penalty, largest_penalty, sparse_weights
from analysis.compute.groups.two_groups import Entries
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.linear.fisher import Basis, basis_of
from analysis.compute.statistics.auroc import delong_interval
from analysis.compute.statistics.moments import is_varying
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import against, wilson
from analysis.errors import InputError
from analysis.results import Estimate

LEVEL = 0.05  # false-discovery rate
FOLDS = 5
PLACES = ("inside the gate", "outside the gate", "on all units")


@dataclass(frozen=True)
class Pair:
    """`fit` (f, d) and `held` (h, d), units standardised by the first half; `fold` (e,) of each entry, -1 in the half
    held out; `varies` (d,) in the first half; `whole`, the basis of all those units there."""

    fit: np.ndarray
    held: np.ndarray
    fold: np.ndarray
    varies: np.ndarray
    whole: Basis

    def sides(self, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`first` (e,) bool of the half that chooses, and of the half held out."""
        return first[self.fold >= 0], first[self.fold < 0]


@dataclass(frozen=True)
class Gate:
    """`gate` (d,) in [0, 1]; `auroc` (3,) inside it, outside it and on all units, held out, of `scores` (h, 3);
    `penalty` λ of the regression, 0 where there is none."""

    gate: np.ndarray
    auroc: np.ndarray
    scores: np.ndarray
    penalty: float


def halved(e: Entries, rng: np.random.Generator) -> Pair:
    """Whole samples in halves and folds, as many of each group in each as can be. O(n d min(n, d)).

    Raises InputError when no unit varies.
    """
    start = np.unique(e.owner, return_index=True)[1]
    count = np.diff(np.append(start, len(e.owner)))
    # by the first sample's group, not by name: the same halves when the two groups change places
    kind = np.where(count > 1, 2, (e.first == e.first[0])[start].astype(int))
    fit = halves(kind, rng)
    fold = np.full(len(start), -1)
    fold[fit] = folds_of(kind[fit], int(np.clip(np.bincount(kind[fit])[:2].min(), 3, FOLDS)), rng)
    fold = np.repeat(fold, count)
    chosen = e.values[fold >= 0]
    mean, spread = chosen.mean(axis=0), chosen.std(axis=0, ddof=1)
    varies = is_varying(spread**2, mean)
    if not varies.any():
        raise InputError(
            "no unit varies over the half of the samples that chooses the gate", "one that does",
            "Choose another tap, or larger groups",
        )  # fmt: skip
    x = np.where(varies, (e.values - mean) / np.where(varies, spread, 1.0), 0.0)
    return Pair(x[fold >= 0], x[fold < 0], fold, varies, basis_of(x[fold >= 0][:, varies]))


def separating(pair: Pair, first: np.ndarray, penalty: float | None) -> tuple[np.ndarray, float]:
    """|w| / max |w| (d,) of the sparse regression on the first half, and its λ (chosen there when None)."""
    mine, _ = pair.sides(first)
    x, gate = pair.fit[:, pair.varies], np.zeros(len(pair.varies))
    if penalty is None:
        penalty = chosen_penalty(x, mine, pair.fold[pair.fold >= 0])
    if penalty < largest_penalty(x, mine):
        weights = np.abs(sparse_weights(x, mine, penalty)[0])
        gate[pair.varies] = weights / (weights.max() or 1.0)
    return gate, penalty


def coinciding(pair: Pair, first: np.ndarray, margin: float) -> np.ndarray:
    """1 - |g| / margin (d,) where the first half shows |g| < margin (false-discovery rate 5 %), 0 elsewhere."""
    mine, _ = pair.sides(first)
    found = group_effects(pair.fit, mine[None])
    q = benjamini_hochberg(np.where(pair.varies, found.alike_p(margin)[0], np.nan))
    return np.where(q < LEVEL, np.clip(1 - np.abs(found.g[0]) / margin, 0.0, 1.0), 0.0)


def gated(
    pair: Pair, first: np.ndarray, goal: str, penalty: float | None = None, margin: float = 0.5
) -> Gate:
    """The gate for the labels `first` (e,) bool and how well the held-out half can be told apart inside it, outside it
    and on all units, each by a discriminant (shrunk covariance) made on the first half. No unit: AUROC 0.5."""
    if goal == "separate":
        gate, penalty = separating(pair, first, penalty)
    else:
        gate, penalty = coinciding(pair, first, margin), 0.0
    mine, others = pair.sides(first)
    scores = np.zeros((len(others), 3))
    for i, units in enumerate((gate > 0, gate == 0, np.ones(len(gate), bool))):
        units = units & pair.varies
        if units.any():
            basis = pair.whole if units.sum() == pair.varies.sum() else basis_of(pair.fit[:, units])
            scores[:, i] = rule_scores(basis, mine[None], pair.held[:, units])[:, 0]
    return Gate(gate, auroc_of(scores, np.repeat(others[:, None], 3, axis=1)), scores, penalty)


def gate_estimates(pair: Pair, found: Gate, null: list[Gate], first: np.ndarray) -> tuple[Estimate, ...]:
    """The three AUROCs and the share of units in the gate, each beside the gates of exchanged labels."""
    mine, others = pair.sides(first)
    d, chance = len(found.gate), np.array([g.auroc for g in null])
    by = f"labels exchanged {len(null)} times, penalty, gate and rule made anew"
    inner = int((found.gate > 0).sum())
    out = []
    for i, (place, units) in enumerate(zip(PLACES, (inner, d - inner, d), strict=True)):
        value = float(found.auroc[i])
        low, high = delong_interval(found.scores[:, i], others)
        out.append(
            Estimate(
                f"AUROC {place}", value, min(low, value), max(high, value), interval="DeLong, gate and rule held fixed",
                **against(value, chance[:, i]), null_method=by, n=len(others), d=units,
                estimator="shrunk discriminant of one half, on the other half",
            )
        )  # fmt: skip
    low, high = wilson(inner, d)
    sizes = np.array([(g.gate > 0).mean() for g in null])
    share = Estimate(
        "share of units in the gate", inner / d, low, high, interval="Wilson, units as draws",
        **against(inner / d, sizes), null_method=by, n=len(mine), d=d, estimator="units with a gate above 0",
    )  # fmt: skip
    return (*out, share)
