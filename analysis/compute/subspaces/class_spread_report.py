"""The numbers of the classes' spread, class by class and on average."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations
from analysis.compute.rows.samples import LabelledMatrix
from analysis.compute.subspaces.class_spread import (
    along_means,
    class_moments,
    frame_overlaps,
    mean_cosines,
    participation,
)
from analysis.compute.subspaces.subspace import cuts_of
from analysis.errors import LoupeError

NAMES = (
    "mean participation ratio of a class",
    "share of the spread along the class means",
    "mean |cosine| of two class means",
    "the same, less the mean of all",
    "mean overlap of two class subspaces",
    "the same overlap, less the mean of all",
)


@dataclass(frozen=True)
class Spread:
    """Columns (C,) by name, and the numbers (6,) of `NAMES`."""

    columns: dict[str, np.ndarray]
    numbers: np.ndarray
    rank: int


def spread_of(x, of, classes: int, fold, k: int) -> Spread:
    """Of rows `x` (n, d) with class `of` (n,); `fold` (n,) for what is held out, `k` directions of each class."""
    d = x.shape[1]
    trace, square, counts = class_moments(x, of, classes)
    along, whole, rank = along_means(x, of, classes, fold)
    above, below = np.bincount(of, along, classes), np.bincount(of, whole, classes)
    columns = {
        "spread": np.sqrt(trace), "participation ratio": participation(trace, square, counts, d),
        "along the means": np.divide(above, below, out=np.zeros(classes), where=below > 0),
    }  # fmt: skip
    off = x - x.mean(axis=0)
    for name, values in (
        ("cosine of means", np.abs(mean_cosines(x, of, classes))),
        ("cosine less mean", np.abs(mean_cosines(off, of, classes))),
        ("overlap", frame_overlaps(x, of, classes, k)), ("overlap less mean", frame_overlaps(off, of, classes, k)),
    ):  # fmt: skip
        columns[name] = (values.sum(axis=1) - np.diag(values)) / (classes - 1)
    numbers = [columns["participation ratio"].mean(), above.sum() / max(below.sum(), 1e-300)]
    numbers += [columns[name].mean() for name in list(columns)[3:]]
    return Spread(columns, np.array(numbers), rank)


def gaps_of(data: LabelledMatrix) -> np.ndarray:
    """(C,) dimension before the largest gap of each class's eigenvalues among those that are told apart, or 0."""
    out = np.zeros(len(data.names), np.int64)
    for c in range(len(out)):
        try:
            cuts = cuts_of(ArrayActivations(data.values[data.of == c], name=data.names[c]))
            out[c] = cuts.automatic(max(1, len(cuts.values) // 2)).k
        except LoupeError:  # nothing varies, or no two eigenvalues are told apart
            continue
    return out
