"""What a card needs of one unit: from the files of the index or, in a short tap, from the unit's own column.

A column of some thousand rows is read and counted in a millisecond, so a short tap keeps only the table of its
units and everything else is worked out when a card is opened. A long tap keeps it in files, of which a card reads
a few kilobytes. Both ways give the same numbers, class means to about 1e-12; from the column a band may show more
rows, and its number of rows is never an estimate.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analysis.store import sampling, sketch
from analysis.store.summaries import SAMPLE_ROWS, TOP_ROWS

if TYPE_CHECKING:
    from analysis.store.index import FeatureIndex


class Drawn(NamedTuple):
    """Rows from which the bands' examples are chosen, and their values; `all`: every finite row is among them."""

    rows: np.ndarray
    values: np.ndarray
    all: bool


class UnitFiles:
    """Units of a long tap: each method reads a few kilobytes of the index's files."""

    def __init__(self, index: FeatureIndex) -> None:
        self._index, self._file = index, index.file

    def column(self, unit: int) -> np.ndarray:
        """The unit's values (rows,) float32: one short read per shard."""
        return self._index.store.activations(self._index.tap).unit(unit)

    def counts(self, unit: int) -> np.ndarray:
        """Bucket counts (N_BUCKETS,) int64 of the quantile sketch."""
        start, stop = self._file("bucket_start").rows(unit, unit + 2)
        counts = np.zeros(sketch.N_BUCKETS, np.int64)
        counts[self._file("bucket_index").rows(start, stop)] = self._file("bucket_count").rows(start, stop)
        return counts

    def sample(self, unit: int) -> np.ndarray:
        """Values (at most 512,) float32 at the uniform sample of rows; NaN where not finite."""
        return self._file("sample_values").row(unit).astype(np.float32)

    def drawn(self, unit: int) -> Drawn:
        """Rows kept per sampling slot, and the uniform sample; a row may be there twice."""
        start, stop = self._file("slot_start").rows(unit, unit + 2)
        rows = sampling.rows_of(self._file("slot_keys").rows(start, stop), self._index.seed)
        sample = self.sample(unit)
        known = np.isfinite(sample)
        values = self._file("slot_values").rows(start, stop).astype(np.float32)
        return Drawn(
            np.concatenate([rows, self._sample_rows[known]]), np.concatenate([values, sample[known]]), False
        )

    @cached_property
    def _sample_rows(self) -> np.ndarray:
        return self._file("sample_rows").whole()

    def top(self, unit: int) -> tuple[np.ndarray, np.ndarray]:
        """(rows int64, values float32) of the strongest, falling, ties by lower row."""
        rows, values = self._file("top_rows").row(unit), self._file("top_values").row(unit)
        kept = np.isfinite(values)
        return rows[kept].astype(np.int64), values[kept].astype(np.float32)

    def classes(self, unit: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Per class: count of finite rows, mean, standard deviation (n - 1), NaN where there are too few."""
        count = self._file("class_count").row(unit).astype(np.int64)
        return count, self._file("class_mean").row(unit), self._file("class_sd").row(unit)


class UnitColumns:
    """Units of a short tap, by the methods of `UnitFiles`; the column read last stays in memory."""

    def __init__(self, index: FeatureIndex) -> None:
        self._index = index
        self._last: tuple[int, np.ndarray] = (-1, np.empty(0, np.float32))  # replaced whole: threads may race

    def column(self, unit: int) -> np.ndarray:
        last, values = self._last
        if last != unit:
            values = self._index.store.activations(self._index.tap).unit(unit)
            values.flags.writeable = False
            self._last = (unit, values)
        return values

    def counts(self, unit: int) -> np.ndarray:
        values = self.column(unit)
        return np.bincount(sketch.bucket_of(values[np.isfinite(values)]), minlength=sketch.N_BUCKETS)

    def sample(self, unit: int) -> np.ndarray:
        values = self.column(unit)[self._sample_rows]
        return np.where(np.isfinite(values), values, np.float32(np.nan))

    @cached_property
    def _sample_rows(self) -> np.ndarray:
        keys = sampling.keys_of(np.arange(self._index.n_rows), self._index.seed)
        order = np.argsort(keys, kind="stable")
        return order[keys[order] != sampling.EMPTY][:SAMPLE_ROWS]

    def drawn(self, unit: int) -> Drawn:
        values = self.column(unit)
        rows = np.flatnonzero(np.isfinite(values))
        return Drawn(rows, values[rows], True)

    def top(self, unit: int) -> tuple[np.ndarray, np.ndarray]:
        rows, values, _ = self.drawn(unit)
        if len(rows) > TOP_ROWS:
            strong = values >= np.partition(values, -TOP_ROWS)[-TOP_ROWS]
            rows, values = rows[strong], values[strong]
        order = np.argsort(-values, kind="stable")[:TOP_ROWS]
        return rows[order], values[order]

    @cached_property
    def _row_class(self) -> np.ndarray:
        store, tap = self._index.store, self._index.tap
        if store.class_index is None:
            return np.full(self._index.n_rows, -1)
        return store.class_index[store.layout(tap).sample_of(np.arange(self._index.n_rows))]

    def classes(self, unit: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        values, n = self.column(unit), len(self._index.store.classes)
        kept = np.isfinite(values) & (self._row_class >= 0)
        label, v = self._row_class[kept], values[kept].astype(np.float64)
        count = np.bincount(label, minlength=n)
        with np.errstate(invalid="ignore", divide="ignore"):
            about = v.mean() if len(v) else 0.0  # centred first: a large mean costs no digits
            mean = about + np.bincount(label, v - about, n) / count
            squares = np.bincount(label, (v - mean[label]) ** 2, n)
            sd = np.where(count > 1, np.sqrt(squares / (count - 1)), np.nan)
        return count, mean, sd.astype(np.float32)
