"""In which sense two representations are the same: one similarity for each group of changes, from strict to lax.

    same units               mean |r| of units matched one to one   ignores order, sign and size of units
    same up to a rotation    unbiased CKA                           ignores rotations, one common scale
    same up to a linear map  mean squared canonical correlation     ignores every invertible linear map

All three are 1 for a signed permutation, the last two for a rotation (where the first falls to about 0.9 sqrt(2 ln d /
d)), the last alone for an invertible linear map. Units and directions without a partner count as 0, so that of two
representations of which one holds the other and more, no similarity is 1; that shows in how well each is predicted
linearly from the other, R² both ways on held-out samples.

A sense *holds* where its whole interval is above the level that counts as the same, *fails* where its whole interval is
below, and is *open* where samples are too few. CKA weighs directions by their variance, squared: where it is above the
level and yet not all directions are shared, even up to a linear map, it holds *for large variance* only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.compute.similarity.similarity_report import Z, jackknife_half

HOLDS, FAILS, OPEN, LARGE = "holds", "fails", "open", "for large variance"
UNITS, SUBSPACE, INFORMATION = "same units", "same up to a rotation", "same up to a linear map"
PREDICTED = "{0} predicted linearly from {1}"
IGNORES = {
    UNITS: "order, sign and size of units",
    SUBSPACE: "rotation, reflection, one common scale",
    INFORMATION: "any invertible linear map",
}


@dataclass(frozen=True)
class Evidence:
    """One sense: `measure`, its `series` (1 + G,), its `null` and the `deviation` of that (NaN: not known), `p`; `few`
    samples, which make the value too high, so that it can only speak against; `held_out`, the low end of what the same
    pairs are worth on samples that had no part in choosing them (NaN: nothing was chosen). `least`: the smallest value
    there is."""

    sense: str
    measure: str
    series: np.ndarray
    null: float
    deviation: float
    p: float
    few: bool = False
    held_out: float = np.nan
    null_method: str = ""
    least: float = -1.0

    @property
    def value(self) -> float:
        return float(self.series[0])

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, NaN where it cannot be had."""
        half = float(jackknife_half(self.series))
        return max(self.value - half, self.least), min(self.value + half, 1.0)

    @property
    def null_high(self) -> float:
        return self.null + Z * self.deviation

    def says(self, same: float) -> str:
        """Whether the two are the same in this sense, `same` being the level that counts."""
        low, high = self.interval
        if high < same:
            return FAILS
        return HOLDS if low >= same and not self.few and not self.held_out < same else OPEN


def senses(found: Sequence[Evidence], same: float) -> list[str]:
    """What each sense says; `found` from strict to lax. What two share up to a rotation they share up to a linear map:
    where that fails, the rotation is one of the directions of large variance."""
    said = {e.sense: e.says(same) for e in found}
    if said.get(SUBSPACE) == HOLDS and said.get(INFORMATION) == FAILS:
        said[SUBSPACE] = LARGE
    return list(said.values())


def held_whole(ways: Sequence[Evidence], names: Sequence[str], same: float) -> str:
    """Whether one of the two holds the other and more: `ways` R² of the second from the first, and the reverse."""
    if len(ways) != 2:
        return ""
    there, back = (e.says(same) for e in ways)
    if (there, back) not in ((HOLDS, FAILS), (FAILS, HOLDS)):
        return ""
    more, less = names if there == HOLDS else names[::-1]
    return f"{more} holds {less} and more: it predicts it linearly, which fails the other way."


def verdict(found: Sequence[Evidence], same: float, level: float = 0.05) -> str:
    """The strictest sense that holds, in words; `found` from strict to lax."""
    said = senses(found, same)
    if HOLDS in said:
        at = said.index(HOLDS)
        before = list(zip((e.sense for e in found[:at]), said[:at], strict=True))
        denied, unsure = (" or ".join(sense for sense, s in before if s == what) for what in (FAILS, OPEN))
        text = {
            UNITS: "They are the same units, up to their order, sign and size",
            SUBSPACE: "They are the same subspace in another basis, a rotation apart",
            INFORMATION: "They hold the same information, linearly re-mixed",
        }[found[at].sense]
        text += f", and not the {denied}." if denied else "."
        return text + (
            f" Whether they are even the {unsure} cannot be said from these samples." if unsure else ""
        )
    if LARGE in said:
        return "Their directions of large variance are the same, a rotation apart; not all of their directions are."
    related = [e for e in found if e.p < level]
    if OPEN in said:
        tail = "they are related beyond chance" if related else "a relation beyond chance is not shown either"
        return f"These samples are too few to tell in which sense they are the same; {tail}."
    if related:
        return (
            "They are related beyond chance, and the same in none of these senses: different representations."
        )
    return "They are different: no relation beyond chance is shown."
