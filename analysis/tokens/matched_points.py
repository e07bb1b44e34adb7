"""Points of two pictures matched, which of the matches are right, and which points pooling by attention leaves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.matching.point_assignment import dustbin_assignment, moved, mutual_matches, plane_motion

REFITS = 1  # planes fitted to exchanged matches of each sample


@dataclass(frozen=True)
class Matched:
    """Of one pair: `pairs` (k, 2), `sure` (k,), `right` (k,) bool, `error` (k,) in cells, `stays` two arrays of levels
    at which each point is there, `unmatched` the mean dustbin of the first picture's points, `off` of row sums,
    `chance` of a match to be right, `chance_share` of a point to have a right match: of a random partner, or
    of the matches exchanged and the plane fitted again to these."""

    pairs: np.ndarray
    sure: np.ndarray
    right: np.ndarray
    error: np.ndarray
    stays: tuple[np.ndarray, np.ndarray]
    unmatched: float
    off: float
    chance: float
    chance_share: float
    fitted: bool


def matched(points, places, params, plane: bool, rng) -> Matched:
    """Of points (m, d), (n, d) at `places` (m, 2), (n, 2)."""
    a, b = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300) for x in points)
    scores = params.sharpness * (a @ b.T)
    p, off = dustbin_assignment(scores, params.sharpness * params.dustbin)
    pairs, sure = mutual_matches(p, params.confidence)
    start, end, h = places[0][pairs[:, 0]], places[1][pairs[:, 1]], None
    if plane:
        h = plane_motion(start, end, max(params.tolerance, 1e-9), rng)
    aim = places[0] if h is None else moved(h, places[0])
    error = np.linalg.norm(aim[pairs[:, 0]] - end, axis=1)
    near = np.linalg.norm(aim[:, None] - places[1][None], axis=2) <= params.tolerance
    both = params.sharpness * np.vstack([np.hstack([a @ a.T, a @ b.T]), np.hstack([b @ a.T, b @ b.T])])
    stays = pooled(both, len(a), params.levels, params.keep)
    chance = share = float(near.mean())
    if h is not None:  # four matches always fit some plane: so do four wrong ones
        chance = float(
            np.mean([_fits(start, end[rng.permutation(len(end))], params, rng) for _ in range(REFITS)])
        )
        share = chance * len(pairs) / len(a)
    return Matched(pairs, sure, error <= params.tolerance, error, stays, float(p[:-1, -1].mean()), off, chance, share,
                   h is not None)  # fmt: skip


def _fits(start: np.ndarray, end: np.ndarray, params, rng) -> float:
    """Share of matches that a plane follows which is fitted to them."""
    h = plane_motion(start, end, max(params.tolerance, 1e-9), rng)
    return float(
        (np.linalg.norm((start if h is None else moved(h, start)) - end, axis=1) <= params.tolerance).mean()
    )


def pooled(scores: np.ndarray, first: int, levels: int, keep: float) -> tuple[np.ndarray, np.ndarray]:
    """Levels (0: gone at the first) that each of `first` and of the other points stays, by attention received."""
    stays, there = np.zeros(len(scores), int), np.ones(len(scores), bool)
    group = np.arange(len(scores)) < first
    for _ in range(levels):
        at = np.flatnonzero(there)
        s = scores[np.ix_(at, at)]
        w = np.exp(s - s.max(axis=1, keepdims=True))
        got = (w / w.sum(axis=1, keepdims=True)).sum(axis=0)
        there[:] = False
        for own in (group[at], ~group[at]):
            count = max(1, int(np.ceil(keep * own.sum())))
            there[at[own][np.argsort(-got[own], kind="stable")[:count]]] = True
        stays[there] += 1
    return stays[:first], stays[first:]
