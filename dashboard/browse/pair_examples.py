"""The examples of two units: those among the strongest of both, and those of one where the other is weakest.

A sample counts by its strongest row at either unit; samples of two networks are matched by id.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dashboard.browse.unit import Unit
from dashboard.figures.text import number

MOST = 64  # of the strongest samples of each; at most half of all
SIDES = ("both", "first", "second")


@dataclass(frozen=True)
class Common:
    """The samples of both units: the largest `values` (n,) of each, and the `rows` (n,) of each tap that hold them."""

    values: tuple[np.ndarray, np.ndarray]
    rows: tuple[np.ndarray, np.ndarray]

    @property
    def n(self) -> int:
        return len(self.values[0])

    @property
    def k(self) -> int:
        """How many are called the strongest."""
        return max(1, min(MOST, self.n // 2))


def common(a: Unit, b: Unit) -> Common:
    """Samples without a finite value at either unit are left out."""
    (x, at_x), (y, at_y) = (_strongest_of_samples(unit) for unit in (a, b))
    if a.store is b.store:
        i = j = np.arange(len(x))
    else:
        _, i, j = np.intersect1d(_ids(a), _ids(b), return_indices=True)
    good = np.isfinite(x[i]) & np.isfinite(y[j])
    i, j = i[good], j[good]
    return Common((x[i], y[j]), (at_x[i], at_y[j]))


def same_rows(a: Unit, b: Unit) -> bool:
    """Whether row i of the one tap is row i of the other: the same tokens of the same samples."""
    offsets = [unit.activations.layout.offsets for unit in (a, b)]
    return np.array_equal(*offsets) and np.array_equal(_ids(a), _ids(b))


def _ids(unit: Unit) -> np.ndarray:
    return np.asarray(unit.activations.samples["id"]).astype(str)


def _strongest_of_samples(unit: Unit) -> tuple[np.ndarray, np.ndarray]:
    """(samples,) largest value of each sample, NaN for one without rows, and its row."""
    offsets = unit.activations.layout.offsets
    column = np.where(np.isfinite(unit.column), unit.column, -np.inf)
    values, rows = np.full(len(offsets) - 1, np.nan), np.zeros(len(offsets) - 1, np.int64)
    filled = np.flatnonzero(np.diff(offsets) > 0)
    if len(filled):
        values[filled] = np.maximum.reduceat(column, offsets[filled])
        sample = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        at = np.flatnonzero(column == values[sample])[::-1]
        rows[sample[at]] = at  # the last write is the first row
    return np.where(np.isfinite(values), values, np.nan), rows


def chosen(found: Common, side: str) -> np.ndarray:
    """Positions among the n, most telling first. "both": among the strongest of both, by the weaker of the two ranks;
    "first" ("second"): among the strongest of that one only, those first on which the other is weakest."""
    if not found.n:
        return np.zeros(0, np.int64)
    ranks, tops = [_ranks(v) for v in found.values], [_strongest(v, found.k) for v in found.values]
    if side == "both":
        both = np.intersect1d(*tops)
        return both[np.lexsort((both, -np.maximum(*ranks)[both], -np.minimum(*ranks)[both]))]
    which = 0 if side == "first" else 1
    only = np.setdiff1d(tops[which], tops[1 - which])
    return only[np.lexsort((only, -ranks[which][only], ranks[1 - which][only]))]


def tiles(a: Unit, b: Unit, found: Common, side: str, limit: int) -> list[dict]:
    """Tiles of the examples of a side, shaded by the first unit (the second where only that one is strong)."""
    which = 1 if side == "second" else 0
    unit, at = (a, b)[which], chosen(found, side)
    made = unit.tiles_of(found.rows[which][at], found.values[which][at], limit)
    for tile, i in zip(made, at, strict=False):  # one sample, one tile: in this order
        tile["value"] = " · ".join(number(values[i]) for values in found.values)
    return made


def _strongest(values: np.ndarray, k: int) -> np.ndarray:
    """Positions of the k largest, falling, ties by position; never those at the median or below, since a unit that is
    mostly 0 has no strong zeros."""
    top = np.lexsort((np.arange(len(values)), -values))[:k]
    return top[values[top] > np.median(values)]


def _ranks(values: np.ndarray) -> np.ndarray:
    """0 for the smallest; equal values have the rank of the first of them."""
    return np.searchsorted(np.sort(values), values, side="left")
