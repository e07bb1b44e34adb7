"""Do pairs of samples keep their distance when one side of each is embedded by a newer model? Pair by pair:

    same class          d(new_i, old_j) <= d(old_i, old_j)
    different classes   d(new_i, old_j) >= d(old_i, old_j)        for all i != j

Null: the new version's samples exchanged, i.e. d(new_l, old_j) of every l != j in turn for d(new_i, old_j): its mean is
exact, by ranks, without drawing an exchange.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.retrieval.gallery_search import BLOCK_BYTES, Gallery
from analysis.spec import Progress, no_progress

ROUNDING = 1e-12  # of the mean distance: equal


@dataclass(frozen=True)
class PairCounts:
    """By class of i and of j, (K, K) each: how many pairs `hold`, how many exchanged ones do on `average`, `pairs` in
    all. The same by jackknife group, (2, G, G): `group_hold` and `group_pairs` of the same class, then of different
    ones."""

    hold: np.ndarray
    average: np.ndarray
    pairs: np.ndarray
    group_hold: np.ndarray
    group_pairs: np.ndarray

    def series(self, kind: int) -> np.ndarray:
        """(1 + G,) share of the pairs of one class (0) or two (1) that hold: of all samples, then without each
        group."""
        hold, pairs = (_without(x[kind]) for x in (self.group_hold, self.group_pairs))
        return hold / np.maximum(pairs, 1)


def _without(x: np.ndarray) -> np.ndarray:
    """Sum of x (G, G), then without each line and column."""
    total = x.sum()
    return np.append(total, total - x.sum(axis=0) - x.sum(axis=1) + np.diag(x))


def pair_inequalities(
    old: np.ndarray,
    new: np.ndarray,
    of: np.ndarray,
    group: np.ndarray,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> PairCounts:
    """Points (n, D) of both versions, class numbers and jackknife groups (n,). Time O(n² (D + ln n)), memory O(n D) and
    some blocks of 8 MiB."""
    n, known = len(of), Gallery(old)
    members = (of == np.arange(of.max() + 1)[:, None]).astype(np.float64)
    groups = (group == np.arange(group.max() + 1)[:, None]).astype(np.float64)
    hold, average = np.zeros((2, len(members), len(members)))
    kept, counted = np.zeros((2, 2, len(groups), len(groups)))
    step = max(1, BLOCK_BYTES // (8 * n))
    queries = Gallery(new), Gallery(old)
    for start in range(0, n, step):
        progress(span[0] + (span[1] - span[0]) * start / n, "comparing pairs")
        j = np.arange(start, min(start + step, n))
        # lines are gallery samples j, columns samples i
        after, before = (q.half_squares(known.points[known.group[j]]) for q in queries)
        slack = ROUNDING * max(float(before.mean()), np.finfo(float).tiny)
        same = of[j][:, None] == of
        itself = j[:, None] == np.arange(n)
        good = np.where(same, after <= before + slack, after >= before - slack) & ~itself
        chance = np.where(itself, 0.0, _exchanged(after, before, same, slack, j))
        hold += (members[:, j] @ good @ members.T).T
        average += (members[:, j] @ chance @ members.T).T
        for kind, which in enumerate((same & ~itself, ~same)):
            kept[kind] += (groups[:, j] @ (good & which) @ groups.T).T
            counted[kind] += (groups[:, j] @ which @ groups.T).T
    sizes = members.sum(axis=1)
    return PairCounts(hold, average, np.outer(sizes, sizes) - np.diag(sizes), kept, counted)


def _exchanged(after, before, same, slack: float, j: np.ndarray) -> np.ndarray:
    """(m, n) share of the samples l != j whose d(new_l, old_j) holds in place of d(new_i, old_j)."""
    out, n = np.empty(before.shape), before.shape[1]
    for line, (a, b, s, at) in enumerate(zip(after, before, same, j, strict=True)):
        others = np.sort(np.delete(a, at))
        out[line] = np.where(
            s,
            np.searchsorted(others, b + slack, side="right"),
            n - 1 - np.searchsorted(others, b - slack, side="left"),
        ) / (n - 1)
    return out
