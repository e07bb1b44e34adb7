"""What a matching says of each unit, line by line: partner, doubts, and a verdict.

- *split*: told by several units of the other side, of which none tells two thirds of what they tell together.
- *merged*: its best partner is split over several units, this one among them, or belongs to another unit.
- *matched*: its partner is beyond chance and correlates enough.
- *unmatched*: none of these.
"""

from __future__ import annotations

import numpy as np

from analysis.compute.correlation.correlations import fisher_interval
from analysis.compute.matching.matched_units import Matched
from analysis.compute.matching.pairing_tests import pooled_p
from analysis.compute.matching.told_together import Parts
from analysis.compute.matching.unit_pairing import score
from analysis.compute.matching.unit_sides import UnitSides
from analysis.compute.statistics.multiple_testing import benjamini_hochberg

VERDICTS = ("matched", "split", "merged", "unmatched")
DOMINANT = (
    2 / 3
)  # of what parts tell together: a single one that tells as much is the partner, the rest its remainder

HELP = {
    "unit a": "number of the unit in the first tap, -1 on a line of the second tap's units without a partner",
    "name a": "its name",
    "unit b": "number of its partner in the second tap, -1 for none",
    "name b": "the partner's name",
    "r": "Pearson correlation of the two, 0 without a partner",
    "|r|": "its size",
    "low": "lower end of the 95 % interval of r (Fisher), for this pair had it been named beforehand",
    "high": "upper end of that interval",
    "held-out r": "pairs made on one half of the samples, r on the other, mean of both ways (negative for opposite "
                  "units); where 'same in both halves' is false of the partner that each half chose; 0 on average for "
                  "unrelated units",
    "same in both halves": "whether both halves give it the same partner",
    "null": "what the pair of the same rank has when samples are moved: mean",
    "null low": "the same: lower end of 95 % of the moves",
    "null high": "the same: upper end of 95 % of the moves",
    "p": "chance of such a matched pair for units whose samples were moved, all pairs taken together",
    "q": "false-discovery rate among all pairs: whether unrelated taps would have such a pair, not whether the partner "
         "is the right one (for that see the margin and the halves)",
    "best": "number, on the other side, of the unit that correlates most with it, taken or not",
    "best name": "its name",
    "best r": "its r",
    "second r": "r of the second strongest, 0 where there is none",
    "margin": "what is maximised (|r| or r), of the partner less that of the strongest other unit: negative where the "
              "strongest went to another unit, near 0 where two would do",
    "parts": "how many units of the other side, one after the other, each lower its held-out error clearly",
    "R² by best": "held-out share of its variance that the best single unit tells",
    "R² by parts": "held-out share that its parts tell together",
    "told by": "the parts by name, in the order in which they are chosen on all samples",
    "verdict": "split: told by two or more parts that reach the least |r| together, the best alone less than two "
               "thirds of what they tell. merged: its best partner is split and it is one of the parts, or that "
               "partner (enough |r|, beyond chance) belongs to another unit. matched: partner beyond chance (q) with "
               "enough |r|. unmatched: none of these",
}  # fmt: skip


def verdicts(found: Matched, level: float, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Verdict of each unit of the first side (p,) and of the second (q,), the latter as if it had no partner."""
    r = score(found.r, found.signed)
    alone = (found.q < level) & (r >= least)
    split_x, split_y = (_split(parts, least) for parts in (found.parts_x, found.parts_y))
    out = []
    sides = (
        (alone, split_x, split_y, found.top.of_x, found.top.r_x, found.parts_y, found.null.best_x),
        (np.zeros(len(split_y), bool), split_y, split_x, found.top.of_y, found.top.r_y, found.parts_x,
         found.null.best_y),
    )  # fmt: skip
    for matched, split, others_split, best, best_r, others, null in sides:
        part = others_split[best[:, 0]] & _is_part(others, best[:, 0])
        s = score(best_r[:, 0], found.signed)
        taken = (s >= least) & (benjamini_hochberg(pooled_p(s, null)) < level)
        out.append(
            np.select([split, part, matched, taken], ["split", "merged", "matched", "merged"], "unmatched")
        )
    return out[0], out[1]


def _split(parts: Parts, least: float) -> np.ndarray:
    return (parts.count >= 2) & (parts.several >= least**2) & (parts.one < DOMINANT * parts.several)


def _is_part(others: Parts, best: np.ndarray) -> np.ndarray:
    """Is each unit one of the parts of its best partner?"""
    place = np.arange(others.chosen.shape[1])
    inside = (others.chosen[best] == np.arange(len(best))[:, None]) & (place < others.count[best][:, None])
    return inside.any(axis=1)


def verdict_columns(found: Matched, sides: UnitSides, level: float, least: float) -> dict[str, np.ndarray]:
    """The table: units of the first side by falling score, those without a partner last, then those of the second that
    have none."""
    s = np.where(found.partner >= 0, score(found.r, found.signed), -np.inf)
    order, free = np.argsort(-s, kind="stable"), found.free_y
    told = verdicts(found, level, least)
    first = _lines(found, sides, order, told[0], 0)
    second = _lines(found, sides, free, told[1], 1)
    return {name: np.concatenate([first[name], second[name]]) for name in HELP}


def _lines(found: Matched, sides: UnitSides, at: np.ndarray, verdict: np.ndarray, side: int) -> dict:
    partner = found.partner[at] if side == 0 else np.full(len(at), -1)
    r = found.r[at] if side == 0 else np.zeros(len(at))
    paired, none = partner >= 0, np.full(len(at), -1)
    number = sides.units[side][at], np.where(paired, sides.units[1][partner], -1)
    name = sides.names[side][at], np.where(paired, sides.names[1][partner], "")
    empty = np.full(len(at), "", dtype="U1")
    unit_a, name_a = (number[0], name[0]) if side == 0 else (none, empty)
    unit_b, name_b = (number[1], name[1]) if side == 0 else (number[0], name[0])
    low, high = fisher_interval(r, sides.n_samples)
    n_paired = found.null.matched.shape[1]
    rank = np.minimum(np.cumsum(paired) - 1, n_paired - 1)
    band = [np.where(paired, v[np.maximum(rank, 0)], 0.0) for v in _bands(found.null.matched)]
    halves = (found.halves.of_x, found.halves.of_y)[side][at]
    if not found.signed:
        halves = np.where(r < 0, -halves, halves)
    return {
        "unit a": unit_a, "name a": name_a, "unit b": unit_b, "name b": name_b, "r": r, "|r|": np.abs(r),
        "low": np.where(paired, low, 0.0), "high": np.where(paired, high, 0.0), "held-out r": halves,
        "same in both halves": found.halves.kept[at] if side == 0 else np.zeros(len(at), bool),
        "null": band[0], "null low": band[1], "null high": band[2],
        "p": found.p[at] if side == 0 else np.ones(len(at)), "q": found.q[at] if side == 0 else np.ones(len(at)),
        **_rivals(found, sides, at, partner, r, side), "verdict": verdict[at],
    }  # fmt: skip


def _bands(matched: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    low, high = np.percentile(matched, [2.5, 97.5], axis=0)
    return matched.mean(axis=0), low, high


def _rivals(found: Matched, sides: UnitSides, at, partner, r, side: int) -> dict:
    """Columns on the other units of the other side."""
    of, values = (found.top.of_x, found.top.r_x) if side == 0 else (found.top.of_y, found.top.r_y)
    parts, other = (found.parts_x, found.parts_y)[side], 1 - side
    best, best_r = of[at, 0], values[at, 0]
    second = values[at, 1] if values.shape[1] > 1 else np.zeros(len(at))
    own, s = score(r, found.signed), score(best_r, found.signed)
    rival = np.where(best == partner, score(second, found.signed), s)
    names = sides.names[other]
    told = [" + ".join(names[c[:k]]) for c, k in zip(parts.chosen[at], parts.count[at], strict=True)]
    return {
        "best": sides.units[other][best], "best name": names[best], "best r": best_r, "second r": second,
        "margin": np.where(partner >= 0, own - rival, 0.0), "parts": parts.count[at],
        "R² by best": parts.one[at], "R² by parts": parts.several[at], "told by": np.array(told, dtype=str),
    }  # fmt: skip
