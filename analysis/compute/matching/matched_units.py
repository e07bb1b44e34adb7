"""All that a one-to-one matching of the units of two sides finds: the pairs, the strongest partners of each unit, units
told by several together, the pairs of halves of the samples, and the null."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.matching.pairing_tests import (
    HeldOut,
    PairingNull,
    held_out,
    moves,
    pair_r,
    pairing_null,
    pooled_p,
)
from analysis.compute.matching.told_together import CANDIDATES, Parts, parts_of
from analysis.compute.matching.unit_pairing import (
    Strongest,
    correlation,
    greedy,
    hungarian,
    is_exact,
    score,
    strongest,
    strongest_of,
)
from analysis.compute.matching.unit_sides import UnitSides
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.spec import Progress


@dataclass(frozen=True)
class Matched:
    """`partner` (p,) among the kept units of the second side, -1 for none, and its `r` (p,), 0 for none; the rest by
    name."""

    partner: np.ndarray
    r: np.ndarray
    top: Strongest
    null: PairingNull
    halves: HeldOut
    parts_x: Parts
    parts_y: Parts
    signed: bool

    @property
    def paired(self) -> np.ndarray:
        """Units of the first side that have a partner, rising."""
        return np.flatnonzero(self.partner >= 0)

    @property
    def p(self) -> np.ndarray:
        """(p,) of each unit's pair, 1 without a partner."""
        found = pooled_p(score(self.r, self.signed), self.null.matched)
        return np.where(self.partner >= 0, found, 1.0)

    @property
    def q(self) -> np.ndarray:
        """(p,) Benjamini-Hochberg over the pairs, 1 without a partner."""
        out = np.ones(len(self.partner))
        out[self.paired] = benjamini_hochberg(self.p[self.paired])
        return out

    @property
    def free_y(self) -> np.ndarray:
        """Units of the second side without a partner."""
        return np.setdiff1d(np.arange(len(self.top.of_y)), self.partner)


def matched_units(
    sides: UnitSides,
    group: np.ndarray,
    *,
    signed: bool,
    most_parts: int,
    gain: float,
    level: float,
    rng: np.random.Generator,
    progress: Progress,
    span: tuple[float, float],
) -> Matched:
    """`group` (n,) of each column, whose even and odd ones are the halves; the rest as `parts_of` has it."""
    x, y = sides.x, sides.y
    p, q = len(x), len(y)

    def part(a: float, b: float) -> tuple[float, float]:
        return span[0] + (span[1] - span[0]) * a, span[0] + (span[1] - span[0]) * b

    progress(span[0], "matching")
    if is_exact(p, q):
        r = correlation(x, y)
        partner, top = hungarian(score(r, signed)), strongest_of([(0, r)], p, q, CANDIDATES, signed)
        del r
    else:
        partner, top = greedy(x, y, signed), strongest(x, y, CANDIDATES, signed)
    found, paired = np.zeros(p), np.flatnonzero(partner >= 0)
    found[paired] = pair_r(x, y, paired, partner[paired])
    halves = held_out(sides, group, signed, progress, part(0.15, 0.3))
    more = {"most": most_parts, "gain": gain, "level": level, "progress": progress}
    parts_x = parts_of(x, y, top.of_x, sides, group % 2 == 0, span=part(0.3, 0.4), **more)
    parts_y = parts_of(y, x, top.of_y, sides, group % 2 == 0, span=part(0.4, 0.5), **more)
    null = pairing_null(sides, signed, moves(p, q), rng, progress, part(0.5, 1.0))
    return Matched(partner, found, top, null, halves, parts_x, parts_y, signed)
