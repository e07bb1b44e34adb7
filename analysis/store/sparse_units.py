"""One unit of a sparse tap at a time, from its entries.

Every number is the one that `analysis.store.unit_reading` gives for the same values kept densely; here zeros are
counted, not read, so a unit costs what its entries cost, whatever the number of rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.store import sketch
from analysis.store.frequent_units import FrequentUnits
from analysis.store.sparse_activations import SparseActivations
from analysis.store.summaries import TOP_ROWS
from analysis.store.unit_reading import Drawn

if TYPE_CHECKING:
    from analysis.store.index import FeatureIndex

SAMPLED, CLASS_ROWS = "sample_rows", "class_rows"  # index files besides the table


class UnitEntries:
    """Units of a sparse tap, by the methods of `analysis.store.unit_reading.UnitFiles`."""

    def __init__(self, index: FeatureIndex, activations: SparseActivations) -> None:
        self._index, self._tap = index, activations
        self._last: tuple[int, tuple] = (-1, ())
        self._frequent = FrequentUnits(index)

    def is_frequent(self, unit: int) -> bool:
        """Whether what a card shows of it lies ready, since its entries are many."""
        return unit in self._frequent.places

    def active_samples(self, unit: int) -> int:
        """In how many samples it is not 0."""
        if self.is_frequent(unit):
            return self._frequent.samples(unit)
        samples = self._tap.layout.sample_of(self.entries(unit)[0])  # rising
        return int(np.count_nonzero(np.diff(samples))) + 1 if len(samples) else 0

    def entries(self, unit: int) -> tuple[np.ndarray, np.ndarray]:
        last, found = self._last
        if last != unit:
            found = self._tap.entries_of(unit)
            self._last = (unit, found)
        return found

    def column(self, unit: int) -> np.ndarray:
        return self._tap.unit(unit)

    def _zeros(self, unit: int) -> int:
        return self._tap.shape[0] - len(self._tap.gaps) - len(self.entries(unit)[0])

    def counts(self, unit: int) -> np.ndarray:
        if self.is_frequent(unit):
            return self._frequent.files.counts(self._frequent.places[unit])
        counts = np.bincount(sketch.bucket_of(self.entries(unit)[1]), minlength=sketch.N_BUCKETS)
        counts[sketch.ZERO] += self._zeros(unit)
        return counts

    def sample(self, unit: int) -> np.ndarray:
        if self.is_frequent(unit):
            return self._frequent.files.sample(self._frequent.places[unit])
        drawn = self._index.file(SAMPLED).whole()
        values = _values_at(drawn, *self.entries(unit))
        values[np.isin(drawn, self._tap.gaps)] = np.nan
        return values

    def drawn(self, unit: int) -> Drawn:
        """Every row that is not 0, and silent rows: the sampled ones where there are many, else all."""
        if self.is_frequent(unit):
            return self._frequent.files.drawn(self._frequent.places[unit])
        rows, values = self.entries(unit)
        silent = self._index.file(SAMPLED).whole()
        if self._zeros(unit) < 0.1 * self._tap.shape[0]:
            silent = np.arange(self._tap.shape[0])
        silent = np.sort(silent[~(_among(silent, rows) | _among(silent, self._tap.gaps))])
        none = np.zeros(len(silent), np.float32)
        return Drawn(np.concatenate([rows, silent]), np.concatenate([values, none]), True)

    def top(self, unit: int) -> tuple[np.ndarray, np.ndarray]:
        if self.is_frequent(unit):
            return self._frequent.files.top(self._frequent.places[unit])
        return strongest(*self.entries(unit), self._tap.shape[0], self._tap.gaps)

    def classes(self, unit: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self.is_frequent(unit):
            return self._frequent.files.classes(self._frequent.places[unit])
        store, (rows, values) = self._index.store, self.entries(unit)
        count = self._index.file(CLASS_ROWS).whole()
        n = len(count)
        if store.class_index is None or not n:
            return np.zeros(n, np.int64), np.full(n, np.nan), np.full(n, np.nan, np.float32)
        label = store.class_index[self._tap.layout.sample_of(rows)]
        label, v = label[label >= 0], values[label >= 0].astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.bincount(label, v, n) / count
            fired = np.bincount(label, minlength=n)
            squares = np.bincount(label, (v - mean[label]) ** 2, n) + (count - fired) * mean**2
            sd = np.where(count > 1, np.sqrt(squares / (count - 1)), np.nan)
        return count, mean, sd.astype(np.float32)


def _among(wanted: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Which of `wanted` (m,) are among `rows`, which rise."""
    at = np.searchsorted(rows, wanted)
    return np.append(rows, -1)[at] == wanted if len(rows) else np.zeros(len(wanted), bool)


def strongest(rows: np.ndarray, values: np.ndarray, n: int, gaps) -> tuple[np.ndarray, np.ndarray]:
    """(rows, values) of the 64 strongest of n rows, falling, ties by lower row; rows that are not listed are 0."""
    positive = np.flatnonzero(values > 0)
    if len(positive) > 16 * TOP_ROWS:  # most of many need not be put in order
        own = values[positive]
        positive = positive[own >= np.partition(own, len(own) - TOP_ROWS)[len(own) - TOP_ROWS]]
    order = positive[np.lexsort((rows[positive], -values[positive]))][:TOP_ROWS]
    if len(order) == TOP_ROWS:
        return rows[order], values[order]
    silent, wanted = _first_silent(rows, n, gaps, TOP_ROWS - len(order)), TOP_ROWS - len(order)
    negative = np.flatnonzero(values < 0)
    rest = negative[np.lexsort((rows[negative], -values[negative]))][: max(wanted - len(silent), 0)]
    return (
        np.concatenate([rows[order], silent, rows[rest]]),
        np.concatenate([values[order], np.zeros(len(silent), values.dtype), values[rest]]),
    )


def _first_silent(rows: np.ndarray, n: int, gaps, wanted: int) -> np.ndarray:
    """The lowest `wanted` rows below n that are neither among `rows` (rising) nor gaps."""
    taken = np.union1d(rows, np.asarray(gaps, np.int64))
    size = wanted
    while True:
        free = np.setdiff1d(np.arange(min(size, n)), taken, assume_unique=True)
        if len(free) >= wanted or size >= n:
            return free[:wanted]
        size *= 4


def _values_at(wanted: np.ndarray, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values (m,) float32 at the rows `wanted` (m,); `rows` rise."""
    at = np.minimum(np.searchsorted(rows, wanted), max(len(rows) - 1, 0))
    if not len(rows):
        return np.zeros(len(wanted), np.float32)
    return np.where(rows[at] == wanted, values[at], np.float32(0)).astype(np.float32)
