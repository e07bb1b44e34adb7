"""How far to believe a matching of units: what unrelated units reach, and what the pairs are worth on other samples.

Matched pairs were chosen for their r, and so is every best partner: both are far above 0 for unrelated units. Their
null repeats the whole matching after the samples of one side were moved, which keeps everything within either side.
What is left of the choice is gone on samples that had no part in it: pairs are matched on one half of the samples and
scored on the other, both ways, with the sign that r had where they were chosen, so that unrelated pairs give 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.matching.unit_pairing import (
    correlation,
    correlation_blocks,
    hungarian,
    is_exact,
    pair_units,
    score,
)
from analysis.compute.matching.unit_sides import UnitSides, moved_order, unit_norm
from analysis.spec import Progress

FEWEST_MOVES, MOST_MOVES = 5, 100
PAIRS_AT_ONCE = 256


def moves(p: int, q: int) -> int:
    """How many times samples are moved: many for few units; five where one more costs seconds and each move already
    gives thousands of pairs."""
    return int(np.clip(4_000_000 // (p * q), FEWEST_MOVES, MOST_MOVES))


@dataclass(frozen=True)
class PairingNull:
    """Scores of units whose samples were moved: `matched` (draws, min(p, q)) of the pairs, falling; `best_x` (draws, p)
    and `best_y` (draws, q) with the best partner of each unit."""

    matched: np.ndarray
    best_x: np.ndarray
    best_y: np.ndarray


def pairing_null(
    sides: UnitSides, signed: bool, draws: int, rng, progress: Progress, span: tuple[float, float]
) -> PairingNull:
    """The whole matching again for each of `draws` moves. Time O(draws n p q) and the matchings."""
    p, q = len(sides.x), len(sides.y)
    matched, best_x, best_y = (np.empty((draws, m)) for m in (min(p, q), p, q))
    for d in range(draws):
        progress(span[0] + (span[1] - span[0]) * d / draws, "matching moved samples")
        y = sides.y[:, moved_order(sides.sample, sides.n_samples, rng)]
        if is_exact(p, q):
            s = score(correlation(sides.x, y), signed)
            best_x[d], best_y[d] = s.max(axis=1), s.max(axis=0)
            partner = hungarian(s)
            paired = np.flatnonzero(partner >= 0)
            found = s[paired, partner[paired]]
        else:
            best_y[d] = -np.inf
            for start, r in correlation_blocks(sides.x, y):
                s = score(r, signed)
                best_x[d, start : start + len(s)] = s.max(axis=1)
                np.maximum(best_y[d], s.max(axis=0), out=best_y[d])
            partner = pair_units(sides.x, y, signed)
            paired = np.flatnonzero(partner >= 0)
            found = score(pair_r(sides.x, y, paired, partner[paired]), signed)
        matched[d] = np.sort(found)[::-1]
    return PairingNull(matched, best_x, best_y)


def pooled_p(scores: np.ndarray, null: np.ndarray) -> np.ndarray:
    """p-values (m,) against null scores of any shape taken together: (1 + those at least as large) / (1 + all)."""
    null = np.sort(null, axis=None)
    return (1 + len(null) - np.searchsorted(null, scores - 1e-12)) / (1 + len(null))


def pair_r(x: np.ndarray, y: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """r (pairs,) of standardised lines x[i], y[j]. O(n pairs)."""
    out = np.empty(len(i))
    for start in range(0, len(i), PAIRS_AT_ONCE):
        here = slice(start, start + PAIRS_AT_ONCE)
        out[here] = np.einsum("ij,ij->i", x[i[here]], y[j[here]])
    return np.clip(out, -1.0, 1.0)


@dataclass(frozen=True)
class GroupedPairs:
    """Sums over each group of samples, for pairs of units: `sums` (5, G, pairs) of x, y, x², y², x y; `sizes` (G,)."""

    sums: np.ndarray
    sizes: np.ndarray

    @staticmethod
    def of(x: np.ndarray, y: np.ndarray, i, j, group: np.ndarray, count: int) -> GroupedPairs:
        """Of lines x[i], y[j], centred as a whole, and the group (n,) of each column. O(n pairs)."""
        member = np.zeros((len(group), count))
        member[np.arange(len(group)), group] = 1.0
        sums = np.empty((5, count, len(i)))
        for start in range(0, len(i), PAIRS_AT_ONCE):
            here = slice(start, start + PAIRS_AT_ONCE)
            a, b = x[i[here]], y[j[here]]
            for k, product in enumerate((a, b, a * a, b * b, a * b)):
                sums[k, :, here] = (product @ member).T
        return GroupedPairs(sums, member.sum(axis=0))

    def r(self, groups: np.ndarray) -> np.ndarray:
        """r (pairs,) over the samples of these groups ((G,) bool); 0 where a unit does not vary on them."""
        n = self.sizes[groups].sum()
        a, b, aa, bb, ab = self.sums[:, groups].sum(axis=1)
        va, vb = aa - a * a / n, bb - b * b / n
        varies = (va > 1e-13 * aa) & (vb > 1e-13 * bb)
        scale = np.sqrt(np.where(varies, va * vb, 1.0))
        return np.clip(np.where(varies, (ab - a * b / n) / scale, 0.0), -1.0, 1.0)


def jackknifed(pairs: GroupedPairs, signed: bool) -> np.ndarray:
    """Mean score of the pairs on all samples, then without each group (1 + G,), the pairs held.

    At the largest sum the pairs' own change does not count to first order, so that this is the deviation of the
    matched mean too.
    """
    every = np.ones(len(pairs.sizes), bool)
    return np.array([score(pairs.r(g), signed).mean() for g in (every, *_without_each(len(every)))])


@dataclass(frozen=True)
class HeldOut:
    """Pairs of one half scored on the other, both ways: `series` (1 + G,) their mean r on all samples, then without
    each group; `of_x` (p,) and `of_y` (q,) the mean over the two ways of each unit, 0 where it had no partner; `kept`
    (p,) bool, the same partner in both halves; `constant`, how many units do not vary in one of the halves."""

    series: np.ndarray
    of_x: np.ndarray
    of_y: np.ndarray
    kept: np.ndarray
    constant: int


def held_out(sides: UnitSides, group: np.ndarray, signed: bool, progress: Progress, span) -> HeldOut:
    """`group` (n,) of each column; even groups are one half, odd ones the other. Two matchings of half the samples."""
    count = int(group.max()) + 1
    even = np.arange(count) % 2 == 0
    partners, scored, constant = [], [], 0
    for half in (0, 1):
        progress(span[0] + (span[1] - span[0]) * half / 2, "matching one half of the samples")
        train = even if half == 0 else ~even
        columns = train[group]
        x, y = unit_norm(sides.x[:, columns]), unit_norm(sides.y[:, columns])
        constant = max(constant, int((~x.any(axis=1)).sum() + (~y.any(axis=1)).sum()))
        partner = pair_units(x, y, signed)
        i = np.flatnonzero(partner >= 0)
        chosen = pair_r(x, y, i, partner[i])
        sign = np.ones(len(i)) if signed else np.where(chosen < 0, -1.0, 1.0)
        pairs = GroupedPairs.of(sides.x, sides.y, i, partner[i], group, count)
        partners.append(partner)
        scored.append((i, partner[i], sign, pairs, ~train))
    of_x, of_y = np.zeros(len(sides.x)), np.zeros(len(sides.y))
    for i, j, sign, pairs, test in scored:
        r = sign * pairs.r(test)
        of_x[i] += r / 2
        of_y[j] += r / 2
    series = [
        np.mean([(sign * pairs.r(test & stay)).mean() for *_, sign, pairs, test in scored])
        for stay in (np.ones(count, bool), *_without_each(count))
    ]
    return HeldOut(np.array(series), of_x, of_y, (partners[0] == partners[1]) & (partners[0] >= 0), constant)


def _without_each(count: int) -> np.ndarray:
    return ~np.eye(count, dtype=bool)
