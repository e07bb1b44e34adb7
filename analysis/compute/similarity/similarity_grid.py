"""A similarity of every two of several taps: the work of a tap once, that of a pair once, each beside its null.

A measure says how a tap is prepared (`side`, once per tap) and how two prepared taps compare (`compare`, once per
pair). What comes back for a pair is a series: the value on all samples, then without each group of samples, from which
the jackknife makes intervals, of single pairs and of their means alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.compute.statistics.exchange_moments import cantelli_p
from analysis.compute.statistics.sample_groups import (
    groups_of as groups_of,  # a measure needs it beside a grid
)
from analysis.errors import ParameterError
from analysis.spec import Progress, no_progress

ALL, NETWORKS = "every tap with every other", "the first network's taps with the others'"
ARRANGEMENTS = (ALL, NETWORKS)


@dataclass(frozen=True)
class Pair:
    """`series` (1 + G,): a similarity on all samples, then without each group (empty G: no interval). Of unrelated
    samples: `null` its mean, `deviation` its standard deviation (NaN: not known); `p` the chance of as much (NaN: not
    known). `few`: samples too few for this pair, whatever the interval says."""

    series: np.ndarray
    null: float
    deviation: float
    p: float
    few: bool = False

    @classmethod
    def with_moments(
        cls, series, null: float, deviation: float, *, few: bool = False, distance: bool = False
    ):
        """The p-value by Cantelli's bound from the null's mean and deviation."""
        value = float(series[0])
        p = cantelli_p(-value, -null, deviation) if distance else cantelli_p(value, null, deviation)
        return cls(np.asarray(series, dtype=np.float64), float(null), float(deviation), float(p), few)


@dataclass(frozen=True)
class Grid:
    """All pairs. `rows` (p,) and `columns` (q,) number the taps; `series` (1 + G, p, q); `null`, `deviation`, `p` and
    `few` (p, q), NaN and False on the diagonal; `own` (p, q) marks a tap with itself; `n` samples, `units` of each
    tap."""

    rows: np.ndarray
    columns: np.ndarray
    series: np.ndarray
    null: np.ndarray
    deviation: np.ndarray
    p: np.ndarray
    few: np.ndarray
    n: int
    units: tuple[int, ...]
    symmetric: bool = True
    own: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "own", self.rows[:, None] == self.columns[None, :])

    @property
    def values(self) -> np.ndarray:
        return self.series[0]

    @property
    def square(self) -> bool:
        return len(self.rows) == len(self.columns) and bool((self.rows == self.columns).all())

    def different(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and column numbers of the cells of two different taps, each pair once where order does not matter."""
        if self.square and self.symmetric:
            return np.triu_indices(len(self.rows), 1)
        return np.nonzero(~self.own)


def arranged(names: Sequence[str], arrangement: str) -> tuple[np.ndarray, np.ndarray]:
    """Which taps (names "store:tap") are rows and which columns. Raises ParameterError where there is one network only
    and two are asked for."""
    every = np.arange(len(names))
    if arrangement == ALL:
        return every, every
    stores = [name.partition(":")[0] for name in names]
    first = np.array([s == stores[0] for s in stores])
    if first.all():
        raise ParameterError(
            f"all {len(names)} taps are of {stores[0]}", f"taps of two networks or more for '{NETWORKS}'"
        )
    return every[first], every[~first]


def compared(
    sides: Sequence,
    compare: Callable[[object, object], Pair],
    rows: np.ndarray,
    columns: np.ndarray,
    *,
    n: int,
    units: Sequence[int],
    perfect: float = 1.0,
    symmetric: bool = True,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.3, 1.0),
) -> Grid:
    """`compare` of every cell, each pair once where order does not matter; a tap with itself is `perfect`."""
    cells = [(i, j) for i, a in enumerate(rows) for j, b in enumerate(columns) if a != b]
    done: dict[tuple[int, int], Pair] = {}
    for count, (i, j) in enumerate(cells):
        a, b = int(rows[i]), int(columns[j])
        key = (min(a, b), max(a, b)) if symmetric else (a, b)
        if key not in done:
            progress(span[0] + (span[1] - span[0]) * count / len(cells), "comparing taps")
            done[key] = compare(sides[key[0]], sides[key[1]])
    depth = len(next(iter(done.values())).series)
    shape = (len(rows), len(columns))
    series = np.full((depth, *shape), float(perfect))
    null, deviation, p, few = (np.full(shape, fill) for fill in (np.nan, np.nan, np.nan, False))
    for i, j in cells:
        a, b = int(rows[i]), int(columns[j])
        found = done[(min(a, b), max(a, b)) if symmetric else (a, b)]
        series[:, i, j], null[i, j], deviation[i, j] = found.series, found.null, found.deviation
        p[i, j], few[i, j] = found.p, found.few
    return Grid(rows, columns, series, null, deviation, p, few, n, tuple(units), symmetric)
