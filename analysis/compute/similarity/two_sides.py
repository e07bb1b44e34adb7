"""Two sides of the same samples, such as image and text: one shift between them, whether a line tells them apart, and
whether mates find each other."""

from __future__ import annotations

import numpy as np

from analysis.compute.linear.ridge_probe import held_out_predictions
from analysis.compute.statistics.auroc import class_auroc, midranks
from analysis.compute.statistics.nulls import against, wilson
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.results import Estimate

FOLDS = 5
STEPS = ("as recorded", "unit length", "unit length, less the means")


def prepared(x, y, step: str, fold) -> tuple[np.ndarray, np.ndarray]:
    """Sides `x`, `y` (n, d) after one of the `STEPS`; means are those of the other folds `fold` (n,)."""
    if step == STEPS[0]:
        return x, y
    out = []
    for v in (x, y):
        length = np.linalg.norm(v, axis=1, keepdims=True)
        u = np.divide(v, length, out=np.zeros_like(v), where=length > 0)
        if step == STEPS[2]:
            u = u - np.array([u[fold != f].mean(axis=0) for f in range(FOLDS)])[fold]
        out.append(u)
    return out[0], out[1]


def gap_of(a, b) -> float:
    """|mean a - mean b|."""
    return float(np.linalg.norm((a - b).mean(axis=0)))


def share_of_shift(a, b) -> float:
    """|Δ|² over the mean squared distance of mates; 0 where all mates are equal."""
    whole = float(((a - b) ** 2).sum(axis=1).mean())
    return gap_of(a, b) ** 2 / whole if whole > 0 else 0.0


def shift_estimate(x, y, group, signs) -> Estimate:
    """`share_of_shift`, jackknifed over `group` (n,), beside swapped sides, `signs` (1 + draws, n)."""
    apart = x - y
    whole = float((apart**2).sum(axis=1).mean())
    value = share_of_shift(x, y)
    half = jackknife_half(
        np.array([share_of_shift(x[group != g], y[group != g]) for g in range(group.max() + 1)])
    )
    null = ((signs[1:] @ apart / len(x)) ** 2).sum(axis=1) / whole if whole > 0 else np.zeros(len(signs) - 1)
    reach = 0.0 if half is None else float(half)
    return Estimate(
        "share of the mates' squared distance that is one shift", value, max(value - reach, 0.0),
        min(value + reach, 1.0), interval="jackknife over groups of samples, t", **against(value, null), n=len(x),
        d=x.shape[1],
        null_method=f"sides of each sample swapped at random, {len(null)} times", estimator="|Δ|² / mean |x - y|²",
    )  # fmt: skip


def told_estimate(a, b, fold, signs, group, step: str) -> Estimate:
    """AUROC of a held-out linear probe for the side; swapped sides are further targets of the same fit."""
    n, stack = len(a), np.vstack([a, b])
    targets = np.vstack([signs.T, -signs.T])
    scores = held_out_predictions(stack, targets, np.arange(len(signs)), np.tile(fold, 2))
    values = np.array([_auroc(scores[:, j], targets[:, j] > 0) for j in range(len(signs))])
    both = np.tile(group, 2)
    without = [_auroc(scores[both != g, 0], np.arange(2 * n)[both != g] < n) for g in range(group.max() + 1)]
    half, value = jackknife_half(np.array(without)), float(values[0])
    reach = 0.0 if half is None else float(half)
    return Estimate(
        f"{step}: sides told apart by a linear probe (AUROC)", value, max(value - reach, 0.0), min(value + reach, 1.0),
        interval="jackknife over groups of samples, probe held fixed, t", **against(value, values[1:]), n=n,
        d=a.shape[1], null_method=f"sides of each sample swapped at random, {len(signs) - 1} times",
        estimator=f"ridge, {FOLDS} folds of samples",
    )  # fmt: skip


def _auroc(scores: np.ndarray, first: np.ndarray) -> float:
    of = first.astype(int)
    return float(class_auroc(midranks(scores[:, None])[0], of, np.bincount(of, minlength=2))[1, 0])


def recall_estimate(a, b, step: str) -> tuple[Estimate, tuple[float, float]]:
    """Recall at 1 both ways with ties shared, and mean cosines of mates and of strangers."""
    unit = [np.divide(v, w, out=np.zeros_like(v), where=w > 0)
            for v in (a, b) for w in (np.linalg.norm(v, axis=1, keepdims=True),)]  # fmt: skip
    cosines = unit[0] @ unit[1].T
    own, n = np.diag(cosines), len(a)
    hits = 0.0
    for similar in (cosines, cosines.T):
        best = similar.max(axis=1)
        tied = (similar >= (best - 1e-12)[:, None]).sum(axis=1)
        hits += float(((own >= best - 1e-12) / tied).mean()) / 2
    low, high = wilson(hits * n, n)
    strangers = (float(cosines.sum()) - float(own.sum())) / (n * (n - 1))
    return Estimate(
        f"{step}: recall at 1", hits, min(low, hits), max(high, hits), interval="Wilson, samples as draws", null=1 / n,
        null_method="mates exchanged: 1 / n exactly", n=n, d=a.shape[1], estimator="cosine, both ways",
    ), (float(own.mean()), strangers)  # fmt: skip
