"""What is known of samples, column by column, as factors that a representation may carry: classes, or a number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.rows.samples import known_labels
from analysis.errors import NotFound

MOST_CLASSES = 50
FEW_VALUES = 20  # whole numbers with at most so many different values are classes
SMALLEST = 5  # samples of a class
NOT_FACTORS = ("id", "text", "media_path", "media_digest")  # what a sample is called, not what it shows


@dataclass(frozen=True)
class Factor:
    """`name` of the column; `known` (n,) bool, which samples have a value that is used; `classes` names, none for a
    number; `of` (n,) class numbers, -1 where not known; `values` (n,) numbers, 0 where not known."""

    name: str
    known: np.ndarray
    classes: tuple[str, ...]
    of: np.ndarray
    values: np.ndarray

    @property
    def is_number(self) -> bool:
        return not self.classes

    @property
    def kind(self) -> str:
        return "number" if self.is_number else f"{len(self.classes)} classes"

    def targets(self) -> np.ndarray:
        """(known samples, k) what a probe predicts: indicators of the classes, or the standardised number."""
        if self.is_number:
            x = self.values[self.known]
            return ((x - x.mean()) / x.std())[:, None]
        return (self.of[self.known][:, None] == np.arange(len(self.classes))).astype(np.float64)

    def basis(self) -> np.ndarray:
        """(known samples, r) orthonormal, centred: what the factor spans over the samples. O(n k²)."""
        x = self.targets()
        x = x - x.mean(axis=0)
        return np.linalg.qr(x if self.is_number else x[:, :-1])[0]


def factors_of(
    taps: Iterable[Activations], ids: np.ndarray, wanted: str = ""
) -> tuple[list[Factor], list[str]]:
    """The factors of the samples `ids` (n,) among the columns of the taps (the first tap that has a column counts), and
    notes on columns that are none. `wanted`: column names with commas between, "" for all.

    Text and truth values are classes, and so are whole numbers with at most 20 different values (negative ones are
    missing, as labels are); other numbers are numbers. Classes with fewer than five samples count as not known; a
    column is no factor with fewer than two classes left, more than 50, or fewer than ten numbers.

    Raises NotFound where a wanted column is missing, or no column is a factor.
    """
    asked = [name.strip() for name in wanted.split(",") if name.strip()]
    columns: dict[str, np.ndarray] = {}
    for tap in taps:
        own = np.asarray(tap.samples["id"]).astype(str)
        order = np.argsort(own, kind="stable")
        at = order[np.searchsorted(own, ids, sorter=order)]
        for name in tap.samples:
            if name not in columns and (name in asked or name not in NOT_FACTORS):
                columns[name] = np.asarray(tap.samples[name])[at]
    missing = [name for name in asked if name not in columns]
    if missing:
        raise NotFound(
            f"no sample column '{missing[0]}'",
            "one of " + ", ".join(columns)
            if columns
            else "a column with labels or metadata, of which there is none",
            "Name another column, or record with labels or metadata",
        )
    found, none = [], []
    for name in asked or columns:
        factor = factor_of(name, columns[name])
        if factor is None:
            none.append(name)
        else:
            found.append(factor)
    if not found:
        raise NotFound(
            "no sample column is a known factor" + (f" ({', '.join(none)} are not)" if none else ""),
            f"a column with 2 to {MOST_CLASSES} classes of {SMALLEST} samples, or with numbers",
            "Record with labels or metadata",
        )
    notes = []
    if none:
        notes.append(
            f"{len(none)} column(s) are no factors (too many, too few or equal values): {', '.join(none)}."
        )
    notes += [
        f"{int((~f.known).sum())} sample(s) without a usable '{f.name}' do not count for it."
        for f in found
        if not f.known.all()
    ]
    return found, notes


def factor_of(name: str, column: np.ndarray) -> Factor | None:
    """The factor in a column (n,), None where it is none."""
    if column.dtype.kind in "iuf" and not _is_few(column):
        known = np.isfinite(column)
        values = column[known].astype(np.float64)
        if len(values) < 2 * SMALLEST or (values == values[0]).all():
            return None
        return Factor(
            name, known, (), np.full(len(column), -1), np.where(known, column, 0).astype(np.float64)
        )
    known = known_labels(column)
    kinds, of = np.unique(column[known], return_inverse=True)
    counts = np.bincount(of, minlength=len(kinds))
    good = counts >= SMALLEST
    if not 2 <= good.sum() <= MOST_CLASSES:
        return None
    number = np.where(good, np.cumsum(good) - 1, -1)
    codes = np.full(len(column), -1)
    codes[known] = number[of.reshape(-1)]
    return Factor(name, codes >= 0, tuple(str(k) for k in kinds[good]), codes, np.zeros(len(column)))


def _is_few(column: np.ndarray) -> bool:
    """Whole numbers with few different values."""
    values = column[np.isfinite(column)]
    return bool((values == np.round(values)).all()) and len(np.unique(values)) <= FEW_VALUES
