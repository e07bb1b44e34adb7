"""How units go with what is known of each sample: r with a number, the correlation ratio with a class.

The correlation ratio (Pearson 1905) of unit x with classes c is eta = sqrt(sum n_c (mean_c - mean)² / sum (x - mean)²):
the share of the unit's variance that lies between classes, as a root. It has no sign. Of an unrelated Gaussian unit
eta² is Beta((C - 1) / 2, (n - C) / 2), so eta is never 0 by chance, and the test is that of an F ratio.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, betaln, fdtrc, ncfdtrinc

from analysis.compute.correlation.correlations import correlation_p, fisher_interval
from analysis.compute.rows.samples import known_labels
from analysis.compute.statistics.auroc import midranks

CLASSES = ("label", "predicted")  # classes also where they are numbers
UNUSED = ("id", "text", "media_path", "media_digest")
MOST_CLASSES = 50
SMALLEST_CLASS = 3
FEWEST = 4  # samples with a value
LEVEL = 0.95


@dataclass(frozen=True)
class Column:
    """A sample column as float64 `numbers` (n,), NaN where missing, or as class numbers `of` (n,), -1 where missing, of
    so many `classes`."""

    name: str
    numbers: np.ndarray | None = None
    of: np.ndarray | None = None
    classes: int = 0

    @property
    def known(self) -> np.ndarray:
        return np.isfinite(self.numbers) if self.of is None else self.of >= 0


@dataclass(frozen=True)
class Relation:
    """One column with all units (d,): `value`, what chance gives on average, the `p`-value; the column's `samples`."""

    column: Column
    value: np.ndarray
    null: float
    p: np.ndarray
    samples: int


def usable_columns(samples: Mapping[str, np.ndarray], kept: np.ndarray) -> tuple[list[Column], list[str]]:
    """The columns of numbers, and of two to 50 classes, over the samples `kept` (n,); notes on the others."""
    found, left_out = [], []
    for name, values in samples.items():
        if name in UNUSED:
            continue
        column = _column(name, np.asarray(values)[kept])
        if column is None:
            left_out.append(name)
        else:
            found.append(column)
    notes = [
        f"Not used, as neither numbers that vary nor 2 to {MOST_CLASSES} classes: {', '.join(left_out)}."
    ]
    return found, notes if left_out else []


def _column(name: str, values: np.ndarray) -> Column | None:
    if values.dtype.kind in "fiub" and name not in CLASSES:
        numbers = np.where(np.isfinite(values.astype(np.float64)), values, np.nan).astype(np.float64)
        there = numbers[np.isfinite(numbers)]
        return Column(name, numbers) if len(there) >= FEWEST and there.min() < there.max() else None
    known = known_labels(values)
    names, of, counts = np.unique(values[known].astype(str), return_inverse=True, return_counts=True)
    good = counts >= SMALLEST_CLASS
    if not 2 <= good.sum() <= MOST_CLASSES or good.sum() * 2 < len(names):
        return None
    number = np.full(len(values), -1)
    number[known] = np.where(good, np.cumsum(good) - 1, -1)[of]
    return Column(name, of=number, classes=int(good.sum()))


def relate(x: np.ndarray, column: Column, ranks: bool) -> Relation:
    """The column with the units `x` (n, d) of its samples that have a value; with `ranks` Spearman's r. O(n d)."""
    known = column.known
    x = x if known.all() else x[known]
    if column.of is None:
        y = column.numbers[known][:, None]
        x, y = (midranks(v)[0] for v in (x, y)) if ranks else (x, y)
        x, y = x - x.mean(axis=0), y - y.mean()
        scale = np.sqrt(np.einsum("ij,ij->j", x, x) * (y * y).sum())
        r = np.clip(np.divide((y.T @ x)[0], scale, out=np.zeros(x.shape[1]), where=scale > 0), -1.0, 1.0)
        return Relation(column, r, 0.0, correlation_p(r, len(x)), len(x))
    of, n, k = column.of[known], len(x), column.classes
    x = x - x.mean(axis=0)
    sums = (of == np.arange(k)[:, None]).astype(np.float64) @ x
    between = (sums**2 / np.bincount(of, minlength=k)[:, None]).sum(axis=0)
    total = np.einsum("ij,ij->j", x, x)
    share = np.clip(np.divide(between, total, out=np.zeros(len(total)), where=total > 0), 0.0, 1.0)
    a, b = (k - 1) / 2, (n - k) / 2
    return Relation(
        column, np.sqrt(share), float(np.exp(betaln(a + 0.5, b) - betaln(a, b))), ratio_p(share, k, n), n
    )


def ratio_p(share: np.ndarray, classes: int, n: int) -> np.ndarray:
    """p-values of shares eta² of variance between classes by the F test."""
    with np.errstate(divide="ignore"):
        f = share / (classes - 1) / ((1 - share) / (n - classes))
    return fdtrc(classes - 1, n - classes, f)


def interval(relation: Relation, units: np.ndarray, ranks: bool) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals (low, high) of some units: Fisher's of r, that of the noncentral F of eta, samples held fixed in
    their classes."""
    value = relation.value[units]
    if relation.column.of is None:
        return fisher_interval(value, relation.samples, ranks=ranks)
    k, n = relation.column.classes, relation.samples
    share = np.minimum(value**2, 1 - 1e-12)
    f = share / (k - 1) / ((1 - share) / (n - k))
    ends = []
    for probability in ((1 + LEVEL) / 2, (1 - LEVEL) / 2):
        beyond = fdtrc(k - 1, n - k, f) > 1 - probability  # then no shift of F fits: the end is 0
        shift = ncfdtrinc(k - 1, n - k, probability, np.maximum(f, 1e-300))
        shift = np.where(beyond | ~np.isfinite(shift), 0.0, np.maximum(shift, 0.0))
        ends.append(np.sqrt(shift / (shift + n)))
    return np.minimum(ends[0], value), np.maximum(ends[1], value)


def largest_by_chance(relation: Relation, probability: float) -> float:
    """What the strongest of all units stays below with this probability, were none related to the column."""
    k, n = relation.column.classes, relation.samples
    a, b = (0.5, (n - 2) / 2) if relation.column.of is None else ((k - 1) / 2, (n - k) / 2)
    return float(np.sqrt(betaincinv(a, b, probability ** (1 / len(relation.value)))))
