"""The feature index: what a card needs of one unit, in a few short reads, and the table of all units."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analysis.errors import NotFound, ParameterError
from analysis.store import sampling, sketch
from analysis.store.bands import Band, make_bands
from analysis.store.index_files import FOLDER, ArrayFile

if TYPE_CHECKING:
    from analysis.store.reader import Store

__all__ = ["Band", "ClassMeans", "FeatureIndex"]

EXACT_HISTOGRAM_ROWS = 2_000_000  # a column of this length is read in a few milliseconds


class ClassMeans(NamedTuple):
    """Per class: `names`, `count` of finite rows, `mean`, and its 95 % t interval `low`, `high` (NaN below two
    rows; tokens of one sample are taken as independent, so the interval is too narrow for token-level taps)."""

    names: tuple[str, ...]
    count: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


class FeatureIndex:
    """Index of one tap; made by `Store.index(tap)`. Every method reads only what it needs; none needs Numba.

    n_units, n_rows : shape of the tap.
    """

    def __init__(self, store: Store, tap: str) -> None:
        self.store, self.tap = store, tap
        self.folder = store.folder(tap) / FOLDER
        self.n_units = store.taps[tap].n_units
        self.n_rows = int(store.entry(tap)["n_rows"])
        self._seed = int(store.manifest["settings"].get("seed") or 0)
        self._files: dict[str, ArrayFile] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"FeatureIndex({self.store.name}:{self.tap}, {self.n_units} units, {self.n_rows} rows)"

    def file(self, name: str) -> ArrayFile:
        """One array of the index, for reading in pieces."""
        with self._lock:
            if name not in self._files:
                self._files[name] = ArrayFile(self.folder / f"{name}.npy")
            return self._files[name]

    def _position(self, unit: int) -> int:
        return self.store.tap_position(self.tap, unit)

    @cached_property
    def _table(self) -> np.ndarray:
        table = self.file("table").whole()
        if len(table) != self.n_units:
            raise NotFound(
                f"the index of {self.tap} has {len(table)} units", f"{self.n_units}", "Rebuild the index"
            )
        return table

    def table(self) -> dict[str, np.ndarray]:
        """One array (units,) per column; read once and kept.

        unit, count (finite rows), nonfinite, mean, sd (n - 1), minimum, maximum, fraction_positive (> 0),
        fraction_nonzero, q05, q25, median, q75, q95, q99 (see `quantile`), skewness and kurtosis (excess; NaN for
        constants), top_class (commonest class among the 64 strongest rows, -1 for none), top_class_share (of those
        rows; rows where a never-negative unit is exactly 0 do not count), dead (no finite value, or the same value
        in every row: after a ReLU that is a unit that never fires, elsewhere a constant).
        """
        return {name: self._table[name] for name in self._table.dtype.names}

    def row(self, unit: int) -> dict[str, float | int | bool]:
        """The table's row of one unit, reading that row only."""
        values = self.file("table").row(self._position(unit))
        return {name: values[name].item() for name in values.dtype.names}

    def _counts(self, unit: int) -> np.ndarray:
        """Bucket counts (N_BUCKETS,) of one unit."""
        start, stop = self.file("bucket_start").rows(unit, unit + 2)
        counts = np.zeros(sketch.N_BUCKETS, np.int64)
        counts[self.file("bucket_index").rows(start, stop)] = self.file("bucket_count").rows(start, stop)
        return counts

    def _sample(self, unit: int) -> np.ndarray:
        return self.file("sample_values").row(unit).astype(np.float32)

    def quantile(self, unit: int, q) -> float | np.ndarray:
        """The ceil(q n)-th smallest value, within a relative error of 1/16 (see `analysis.store.sketch`);
        exact at q = 0 and 1 and when there are at most 512 rows. `q` may be an array. NaN without finite values."""
        unit = self._position(unit)
        levels = np.atleast_1d(np.asarray(q, dtype=np.float64))
        if not ((levels >= 0) & (levels <= 1)).all():
            raise ParameterError(f"q = {q}", "between 0 and 1")
        row = self.row(unit)
        low, high = (np.array([row[k]], dtype=np.float64) for k in ("minimum", "maximum"))
        values = sketch.quantiles(self._counts(unit)[None], levels, low, high, self._sample(unit)[None])[0]
        return float(values[0]) if np.ndim(q) == 0 else values

    def histogram(self, unit: int, bins: int = 64) -> tuple[np.ndarray, np.ndarray]:
        """(edges (bins + 1,), counts (bins,)) of the finite values, counts always exact.

        Up to 2,000,000 rows the unit's column is read and the bins are equally wide; beyond, edges are the quantile
        sketch's bucket edges nearest to equal widths, so bins differ in width and there may be fewer.
        """
        unit = self._position(unit)
        row = self.row(unit)
        if row["count"] == 0:
            return np.array([0.0, 1.0]), np.zeros(1, np.int64)
        low, high = row["minimum"], row["maximum"]
        if low == high:
            return np.array([low - 0.5, low + 0.5]), np.array([row["count"]])
        if self.n_rows <= EXACT_HISTOGRAM_ROWS:
            values = self.store.activations(self.tap).unit(unit)
            counts, edges = np.histogram(
                values[np.isfinite(values)].astype(np.float64), bins=bins, range=(low, high)
            )
            return edges, counts
        return _bucket_histogram(self._counts(unit), low, high, bins)

    def top(self, unit: int) -> tuple[np.ndarray, np.ndarray]:
        """(rows, values) of the 64 strongest, falling, ties by lower row; fewer when there are fewer finite rows."""
        unit = self._position(unit)
        rows, values = self.file("top_rows").row(unit), self.file("top_values").row(unit)
        kept = rows >= 0
        return rows[kept], values[kept]

    def bands(self, unit: int) -> list[Band]:
        """Eight bands below the strongest rows, strongest first, with up to 8 seeded-uniform rows from each."""
        unit = self._position(unit)
        row = self.row(unit)
        start, stop = self.file("slot_start").rows(unit, unit + 2)
        keys, values = self.file("slot_keys").rows(start, stop), self.file("slot_values").rows(start, stop)
        sample = self._sample(unit)
        known = np.isfinite(sample)
        rows = np.concatenate([sampling.rows_of(keys, self._seed), self._sample_rows[known]])
        values = np.concatenate([values, sample[known]])
        zeros = row["count"] - round(row["fraction_nonzero"] * row["count"]) if row["count"] else 0
        top_rows, top_values = self.top(unit)
        return make_bands(
            self._counts(unit), row["minimum"], zeros, top_rows, top_values, rows, values, sample, self._seed
        )

    @cached_property
    def _sample_rows(self) -> np.ndarray:
        return self.file("sample_rows").whole()

    def classes(self, unit: int) -> ClassMeans:
        """Mean per class with its 95 % t interval. Empty in a store without classes."""
        from scipy.stats import t as student

        unit = self._position(unit)
        count = self.file("class_count").row(unit).astype(np.int64)
        mean, sd = self.file("class_mean").row(unit), self.file("class_sd").row(unit)
        with np.errstate(invalid="ignore", divide="ignore"):
            half = np.where(
                count > 1, student.ppf(0.975, np.maximum(count - 1, 1)) * sd / np.sqrt(count), np.nan
            )
        return ClassMeans(self.store.classes, count, mean, mean - half, mean + half)

    def correlated(self, unit: int, k: int = 10) -> list[tuple[str, int, float, float, float, int]]:
        """The `k` units most correlated with this one, here and in the store's other taps, strongest |r| first.

        (tap, unit, r, low, high, n): Pearson's r over samples (a sample's mean over its tokens), its 95 % Fisher-z
        interval and the samples it rests on. In small stores (samples x units up to 20 million per tap) all units
        are compared exactly; in larger ones a sketch proposes candidates (units with |r| well below 0.2 may be
        missed) and r is then computed exactly. The interval ignores that the strongest were chosen among many.
        """
        from analysis.store.correlation import correlated

        return correlated(self.store, self.tap, self._position(unit), int(k))


def _bucket_histogram(
    counts: np.ndarray, low: float, high: float, bins: int
) -> tuple[np.ndarray, np.ndarray]:
    total = np.concatenate([[0], np.cumsum(counts)])
    wanted = np.linspace(low, high, bins + 1)[1:-1]
    at = np.unique(np.abs(sketch.HIGH[None, :] - wanted[:, None]).argmin(axis=1))
    at = at[(sketch.HIGH[at] > low) & (sketch.HIGH[at] < high)]
    edges = np.concatenate([[low], sketch.HIGH[at], [high]])
    return edges, np.diff(np.concatenate([[0], total[at + 1], [total[-1]]]))
