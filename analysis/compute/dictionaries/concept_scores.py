"""How well single features, or unions of a few, tell classes: F1, chosen on some samples and judged on others.

F1 = Σ 2 t p / Σ (t + p) over samples, with t whether the sample is of the class and p whether a feature is above its
threshold. A rule that says yes to every sample has F1 = 2 s / (1 + s) for a class of share s, so that no class
has a floor of 0. Features of a union are cut where F_0.5 is best, which counts false alarms more: a feature of a third
of its class is no rule for it, and by F1 alone its best threshold may say yes to all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST_IN_UNION = 8
CANDIDATES = 64  # features a union is made from, the best by themselves
ENOUGH = 0.9  # F1 of a union that covers its class


def prevalence_f1(share: np.ndarray) -> np.ndarray:
    """F1 of saying yes to every sample, for classes of `share`."""
    return 2 * share / (1 + share)


def enough(always):
    """F1 from which a class counts as told, of classes where saying yes to every sample has F1 `always`: 0.9, or half
    way from there to 1, since of a frequent class any rule has 0.9."""
    return np.maximum(ENOUGH, (1 + np.asarray(always)) / 2)


def best_thresholds(values: np.ndarray, hot: np.ndarray, beta: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Best F_β (k, C) of every feature of `values` (n, k) for every class of `hot` (n, C) bool, and the threshold
    (k, C) that reaches it: yes where a value is above that, which lies half way to the next smaller one; -inf for all.
    O(k n (log n + C))."""
    n, k = values.shape
    size = hot.sum(axis=0)
    best, at = np.zeros((k, hot.shape[1])), np.zeros((k, hot.shape[1]))
    yes = np.arange(1, n + 1)[:, None]
    for j in range(k):
        order = np.argsort(-values[:, j], kind="stable")
        v = values[order, j]
        last = np.flatnonzero(np.r_[v[1:] != v[:-1], True])  # ties are all taken or none
        f1 = (1 + beta**2) * np.cumsum(hot[order], axis=0)[last] / (yes[last] + beta**2 * size)
        top = f1.argmax(axis=0)
        below = np.r_[(v[last[:-1]] + v[last[1:]]) / 2, -np.inf]
        best[j], at[j] = f1[top, np.arange(len(size))], below[top]
    return best, at


@dataclass(frozen=True)
class Chosen:
    """For each class: `feature` (C,) and its `threshold`; `unions`, the features and thresholds that together reach
    `ENOUGH`, or as far as a union gets."""

    feature: np.ndarray
    threshold: np.ndarray
    unions: tuple[tuple[np.ndarray, np.ndarray], ...]


def chosen(values: np.ndarray, hot: np.ndarray, unions: bool = True) -> Chosen:
    """On the samples `values` (n, k), classes `hot` (n, C)."""
    best, at = best_thresholds(values, hot)
    feature, every = best.argmax(axis=0), np.arange(hot.shape[1])
    threshold, found = at[feature, every], []
    if unions:
        best, at = best_thresholds(values, hot, 0.5)
        found = [union(values, hot[:, c], best[:, c], at[:, c]) for c in every]
    return Chosen(feature, threshold, tuple(found))


def union(
    values: np.ndarray, of: np.ndarray, best: np.ndarray, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Features and thresholds: the best by itself, then whichever raises the F_0.5 of "any of them" most, until their
    F1 is enough. By F1, a rule that says yes to nearly all would come before a part of a frequent class."""
    some = np.argsort(-best, kind="stable")[:CANDIDATES]
    says = values[:, some] > at[some]
    now, taken, score, gained = np.zeros(len(of), bool), [], 0.0, 0.0
    while len(taken) < min(MOST_IN_UNION, len(some)) and score < ENOUGH:
        joined = says | now[:, None]
        both, says_yes = (joined & of[:, None]).sum(axis=0), joined.sum(axis=0)
        careful = 1.25 * both / (says_yes + 0.25 * of.sum())
        top = int(careful.argmax())
        if careful[top] <= gained:
            break
        now, gained = joined[:, top], float(careful[top])
        score = float(2 * both[top] / (says_yes[top] + of.sum()))
        taken.append(top)
    return some[taken], at[some[taken]]


def says_yes(values: np.ndarray, found: Chosen) -> tuple[np.ndarray, np.ndarray]:
    """(n, C) bool of the single features, and of the unions."""
    single = values[:, found.feature] > found.threshold
    several = [(values[:, f] > t).any(axis=1) for f, t in found.unions]
    return single, np.stack(several, axis=1) if several else single


def f1_parts(yes: np.ndarray, hot: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each sample adds above and below the line of F1, (n, C) each."""
    return 2.0 * (yes & hot), yes.astype(float) + hot


def f1(yes: np.ndarray, hot: np.ndarray) -> np.ndarray:
    """(C,)."""
    above, below = f1_parts(yes, hot)
    return above.sum(axis=0) / np.maximum(below.sum(axis=0), 1)


def halves(of: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) bool: one half of every class, drawn at random."""
    first = np.zeros(len(of), bool)
    for c in np.unique(of):
        own = rng.permutation(np.flatnonzero(of == c))
        first[own[: len(own) // 2 + int(len(own) % 2 and rng.random() < 0.5)]] = True
    return first


def judged(values: np.ndarray, hot: np.ndarray, first: np.ndarray, unions: bool = True):
    """(choices of both halves, single and union verdicts (n, C) of every sample by the half it is not in)."""
    single, several, choices = np.zeros(hot.shape, bool), np.zeros(hot.shape, bool), []
    for half in (first, ~first):
        choices.append(chosen(values[half], hot[half], unions))
        single[~half], several[~half] = says_yes(values[~half], choices[-1])
    return choices, single, several
