"""Misses of a value's main features that another feature carries: its contribution along the value's direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEANS, MOST_OF = 0.025, 0.5  # cosine with the value's direction; share of the positive contributions


@dataclass(frozen=True)
class Misses:
    """Samples `recognised`, `missed` by the main features, `absorbed`, and `chance`, absorbed on average with
    directions of exchanged labels; `by` features, the most frequent first."""

    recognised: int
    missed: int
    absorbed: int
    chance: float
    by: np.ndarray


def misses_of(
    codes: np.ndarray,
    directions: np.ndarray,
    x: np.ndarray,
    has: np.ndarray,
    known: np.ndarray,
    silent: np.ndarray,
    main: list[set[int]],
    first: np.ndarray,
    mixed: list[np.ndarray],
) -> Misses:
    """Of mean codes `codes` (n, k), `directions` (k, d) and mean rows `x` (n, d).

    `has`, `known`, `silent` (n,) bool: has the value, is recognised, no main feature fires; `main`: the main features
    that were found on the first half (which judge the second) and on the second; `mixed` permutations of labels.
    """
    missed, carriers = known & silent, []
    for fitted, own in ((first, main[0]), (~first, main[1])):
        judged = missed & ~fitted
        carriers.append(_carried(codes, directions, _axis(x, has, fitted), judged, own))
    chance = [
        sum(
            len(_carried(codes, directions, _axis(x, has[order], fitted), missed & ~fitted, own))
            for fitted, own in ((first, main[0]), (~first, main[1]))
        )
        for order in mixed
    ]
    carrier = np.concatenate(carriers)
    names, counts = np.unique(carrier, return_counts=True)
    return Misses(
        int(known.sum()), int(missed.sum()), len(carrier), float(np.mean(chance)) if chance else 0.0,
        names[np.argsort(-counts, kind="stable")],
    )  # fmt: skip


def _axis(x: np.ndarray, has: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Unit difference of the means (d,) on the samples `fitted`; 0 where it has no length."""
    yes, no = fitted & has, fitted & ~has
    if not yes.any() or not no.any():
        return np.zeros(x.shape[1])
    axis = x[yes].mean(axis=0) - x[no].mean(axis=0)
    length = np.linalg.norm(axis)
    return axis / length if length > 0 else axis


def _carried(codes, directions, axis, judged, main: set[int]) -> np.ndarray:
    """The feature that carries each of the `judged` samples that one does."""
    rows = np.flatnonzero(judged)
    if not len(rows) or not axis.any():
        return np.zeros(0, np.int64)
    along = directions @ axis
    part = np.maximum(codes[rows] * along, 0)
    total, best = part.sum(axis=1), part.argmax(axis=1)
    length = np.linalg.norm(directions[best], axis=1)
    leans = along[best] / np.where(length > 0, length, 1) >= LEANS
    own = np.isin(best, list(main))
    carried = leans & ~own & (total > 0) & (part[np.arange(len(rows)), best] >= MOST_OF * total)
    return best[carried]
