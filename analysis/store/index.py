"""The feature index: what a card needs of one unit, in a few short reads, and the table of all units."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analysis.errors import NotFound, ParameterError
from analysis.store import sketch
from analysis.store.bands import Band, make_bands
from analysis.store.index_files import FOLDER, REBUILD, ArrayFile, is_short
from analysis.store.sparse_activations import SparseActivations
from analysis.store.sparse_units import UnitEntries
from analysis.store.unit_reading import UnitColumns, UnitFiles

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

    n_units, n_rows : shape of the tap. seed : of the sampled rows.
    """

    def __init__(self, store: Store, tap: str) -> None:
        self.store, self.tap = store, tap
        self.folder = store.folder(tap) / FOLDER
        self.n_units = store.taps[tap].n_units
        self.n_rows = int(store.entry(tap)["n_rows"])
        self.seed = int(store.manifest["settings"].get("seed") or 0)
        self._files: dict[str, ArrayFile] = {}
        self._lock = threading.Lock()
        listed = store.manifest.get("files", {})
        activations = store.activations(tap)
        if isinstance(activations, SparseActivations):
            self._units = UnitEntries(self, activations)
        else:
            self._units = UnitColumns(self) if is_short(listed, store.entry(tap)["slug"]) else UnitFiles(self)

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
            raise NotFound(f"the index of {self.tap} has {len(table)} units", f"{self.n_units}", REBUILD)
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

    def quantile(self, unit: int, q) -> float | np.ndarray:
        """The ceil(q n)-th smallest value, within a relative error of 1/16 (see `analysis.store.sketch`);
        exact at q = 0 and 1 and when there are at most 512 rows. `q` may be an array. NaN without finite values."""
        unit = self._position(unit)
        levels = np.atleast_1d(np.asarray(q, dtype=np.float64))
        if not ((levels >= 0) & (levels <= 1)).all():
            raise ParameterError(f"q = {q}", "between 0 and 1")
        row = self.row(unit)
        low, high = (np.array([row[k]], dtype=np.float64) for k in ("minimum", "maximum"))
        counts, sample = self._units.counts(unit), self._units.sample(unit)
        values = sketch.quantiles(counts[None], levels, low, high, sample[None])[0]
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
            values = self._units.column(unit)
            counts, edges = np.histogram(
                values[np.isfinite(values)].astype(np.float64), bins=bins, range=(low, high)
            )
            return edges, counts
        return _bucket_histogram(self._units.counts(unit), low, high, bins)

    def top(self, unit: int) -> tuple[np.ndarray, np.ndarray]:
        """(rows, values) of the 64 strongest, falling, ties by lower row; fewer when there are fewer finite rows."""
        return self._units.top(self._position(unit))

    def bands(self, unit: int) -> list[Band]:
        """Eight bands below the strongest rows, strongest first, with up to 8 seeded-uniform rows from each."""
        unit = self._position(unit)
        row = self.row(unit)
        zeros = row["count"] - round(row["fraction_nonzero"] * row["count"]) if row["count"] else 0
        units = self._units
        counts, sample = units.counts(unit), units.sample(unit)
        return make_bands(
            counts, row["minimum"], zeros, *units.top(unit), *units.drawn(unit), sample, self.seed
        )

    def entries(self, unit: int) -> tuple[np.ndarray, np.ndarray] | None:
        """(rows, values) where a unit of a sparse tap is not 0; None of any other tap. Those read last are kept."""
        units = self._units
        return units.entries(self._position(unit)) if isinstance(units, UnitEntries) else None

    def is_frequent(self, unit: int) -> bool:
        """Whether it is of a sparse tap and has so many entries that a card does without them."""
        units = self._units
        return isinstance(units, UnitEntries) and units.is_frequent(self._position(unit))

    def active_samples(self, unit: int) -> int:
        """In how many samples a unit of a sparse tap is not 0. Raises ParameterError for any other tap."""
        if not isinstance(self._units, UnitEntries):
            raise ParameterError(f"{self.tap} is kept densely", "a tap that a feature set encoded")
        return self._units.active_samples(self._position(unit))

    def histogram_of_entries(self, unit: int, bins: int = 64) -> tuple[np.ndarray, np.ndarray]:
        """As `histogram` beyond 2,000,000 rows, of the values that are not 0."""
        unit = self._position(unit)
        counts, row = self._units.counts(unit).copy(), self.row(unit)
        counts[sketch.ZERO] = 0
        filled = np.flatnonzero(counts)
        if not len(filled):
            return np.array([0.0, 1.0]), np.zeros(1, np.int64)
        low, high = row["minimum"] or sketch.LOW[filled[0]], row["maximum"] or sketch.HIGH[filled[-1]]
        return _bucket_histogram(counts, float(low), float(high), bins)

    def classes(self, unit: int) -> ClassMeans:
        """Mean per class with its 95 % t interval. Empty in a store without classes."""
        from scipy.stats import t as student

        count, mean, sd = self._units.classes(self._position(unit))
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
