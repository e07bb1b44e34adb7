"""Coalitions drawn in complementary pairs, without replacement, by size.

Shapley values see only the odd part of a game, (v(S) - v(N - S)) / 2: a coalition asked together with its complement
loses everything even, pairwise interactions among it. A pair is named by its smaller half (of two equal halves, the one
with player 0). The leverage of a coalition of size s in the regression that defines Shapley values is the same for all
of that size, 1 over their number, so leverage-score sampling draws equally many of every size, and all of a size where
there are not so many (C. Musco & R. T. Witter 2025). The count of each size is fixed, not left to chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import comb

import numpy as np

from analysis.errors import NotEnoughData


@dataclass(frozen=True)
class Pairs:
    """`members` (n, players) bool, one half of each pair; `weights` (n,) of each pair in the Shapley regression,
    its kernel weight over its chance of being drawn; `drawn` (n,) the share of its size's pairs that was drawn."""

    members: np.ndarray
    weights: np.ndarray
    drawn: np.ndarray

    @property
    def signs(self) -> np.ndarray:
        """+1 for members and -1 for the others (n, players)."""
        return np.where(self.members, 1.0, -1.0)

    @cached_property
    def regression(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Design (n, players), orthogonal to equal shares; weights (n,), the largest 1; inverse of normal matrix."""
        x = self.signs
        design = (x - x.mean(axis=1, keepdims=True)) / 2
        weights = self.weights / self.weights.max()
        normal = (design * weights[:, None]).T @ design
        return design, weights, np.linalg.pinv(normal, rcond=1e-11, hermitian=True)

    @property
    def everything(self) -> bool:
        """Whether no coalition was left out."""
        return bool((self.drawn == 1).all())


def pairs_of_size(players: int, size: int) -> int:
    """How many pairs have a smaller half of `size`."""
    return comb(players, size) // (2 if 2 * size == players else 1)


def draw_pairs(players: int, pairs: int, rng: np.random.Generator) -> Pairs:
    """About `pairs` pairs, never more; all of them where there are not more. At least players - 1."""
    sizes = np.arange(1, players // 2 + 1)
    there = [pairs_of_size(players, int(s)) for s in sizes]
    if pairs < min(players - 1, sum(there)):
        raise NotEnoughData(
            f"{pairs} pairs of coalitions for {players} players",
            f"at least {players - 1} pairs, {2 * players} evaluations",
            "Raise the budget or group players",
        )
    expected = expected_counts(players, min(pairs, sum(there)))
    counts = _rounded(expected, rng)
    members, weights, drawn = [], [], []
    for size, total, mean, count in zip(sizes, there, expected, counts, strict=True):
        if not count:
            continue
        members.append(_of_size(players, int(size), int(count), rng))
        here = (
            max(mean, count) if mean >= 1 else mean
        )  # seldom drawn sizes stand for those draws that had none
        half = 0.5 if 2 * size == players else 1.0
        weights.append(np.full(count, half / (here * size * (players - size))))
        drawn.append(np.full(count, 1.0 if count == total else count / total))
    return Pairs(np.concatenate(members), np.concatenate(weights), np.concatenate(drawn))


def expected_counts(players: int, pairs: float) -> np.ndarray:
    """Expected pairs (players // 2,) of smaller half 1, 2, ...: equal over sizes of coalitions, all where fewer."""
    sizes = np.arange(1, players // 2 + 1)
    there = np.array([float(pairs_of_size(players, int(s))) for s in sizes])
    law = np.where(2 * sizes == players, 0.5, 1.0)
    counts, full = np.zeros(len(sizes)), np.zeros(len(sizes), dtype=bool)
    while True:
        rest = pairs - there[full].sum()
        share = np.divide(rest * law, law[~full].sum()) if (~full).any() else law * 0
        counts = np.where(full, there, share)
        over = ~full & (counts >= there)
        if not over.any():
            return counts
        full |= over


def _rounded(expected: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Whole numbers with these means, each its floor or its ceiling, and the sum never above the mean sum."""
    steps = np.floor(
        np.concatenate([[0.0], np.cumsum(expected)]) + 1e-9 + (rng.random() if len(expected) > 1 else 0)
    )
    counts = np.diff(steps).astype(np.int64)
    over = counts.sum() - int(np.floor(expected.sum() + 1e-9))
    for _ in range(max(0, over)):
        counts[int(np.argmax(counts - expected))] -= 1
    return counts


def _of_size(players: int, size: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` different coalitions (count, players) of `size`; with player 0 where both halves are equal."""
    if 2 * size == players:
        rest = _distinct(players - 1, size - 1, count, rng)
        return np.concatenate([np.ones((count, 1), dtype=bool), rest], axis=1)
    return _distinct(players, size, count, rng)


def _distinct(players: int, size: int, count: int, rng: np.random.Generator) -> np.ndarray:
    total = comb(players, size)
    if size == 0:
        return np.zeros((count, players), dtype=bool)
    if total <= 4 * count:  # list them all
        chosen = np.sort(rng.permutation(total)[:count])
        listed = np.array(list(combinations(range(players), size)), dtype=np.int64)[chosen]
        members = np.zeros((count, players), dtype=bool)
        np.put_along_axis(members, listed, True, axis=1)
        return members
    found: dict[bytes, np.ndarray] = {}
    while len(found) < count:
        wanted = count - len(found)
        order = rng.random((wanted, players)).argpartition(size - 1, axis=1)[:, :size]
        members = np.zeros((wanted, players), dtype=bool)
        np.put_along_axis(members, order, True, axis=1)
        found.update((row.tobytes(), row) for row in members)
    return np.stack(list(found.values()))
