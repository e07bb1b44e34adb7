"""Labels as class numbers, of the samples that have one and of the classes that have enough samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.rows.samples import known_labels, listed, too_few
from analysis.errors import NotEnoughData


@dataclass(frozen=True)
class ClassCodes:
    """`stay` (n,) bool of the samples kept, their `codes` (m,), `names` and `counts` (C,) of the classes; `notes`."""

    stay: np.ndarray
    codes: np.ndarray
    names: tuple[str, ...]
    counts: np.ndarray
    notes: tuple[str, ...]

    def one_hot(self) -> np.ndarray:
        """(m, C) of 0 and 1."""
        return np.eye(len(self.names))[self.codes]


def class_codes(labels: np.ndarray, column: str, minimum: int) -> ClassCodes:
    """Of the labels (n,) of a column. Raises NotEnoughData where fewer than two classes have `minimum` samples."""
    known = known_labels(labels)
    found, of = np.unique(labels[known], return_inverse=True)
    counts, notes = np.bincount(of, minlength=len(found)), []
    good = counts >= minimum
    if good.sum() < 2:
        raise NotEnoughData(
            too_few(found, counts, column, minimum),
            "at least two such classes",
            "Record more samples of the small classes, or choose another column",
        )
    if not known.all():
        notes.append(f"{int((~known).sum())} sample(s) without a label left out.")
    if not good.all():
        few = listed(found[~good], counts[~good])
        notes.append(f"{int((~good).sum())} class(es) with fewer than {minimum} samples left out: {few}.")
    stay = known.copy()
    stay[known] = good[of]
    codes = (np.cumsum(good) - 1)[of[good[of]]]
    return ClassCodes(stay, codes, tuple(str(v) for v in found[good]), counts[good], tuple(notes))
