"""The feature index of a sparse tap: the table of all units in one pass over their entries, and one unit at a time.

Every number is the one that `analysis.store.unit_reading` and `finishing` give for the same values kept densely; here
zeros are counted, not read, so a unit costs what its entries cost, whatever the number of rows. Quantiles are exact.
"""

from __future__ import annotations

from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from analysis.spec import no_progress
from analysis.store import sampling, sketch
from analysis.store.finishing import QUANTILES, TABLE, correlation_sketch, top_class
from analysis.store.frequent_units import FrequentUnits, frequent_files
from analysis.store.sparse_activations import SparseActivations
from analysis.store.sparse_shards import Entries
from analysis.store.summaries import SAMPLE_ROWS, TOP_ROWS
from analysis.store.unit_reading import Drawn

if TYPE_CHECKING:
    from analysis.store.index import FeatureIndex

BLOCK_ENTRIES = 1 << 22  # entries sorted at a time: 300 MB
SKETCH = 1024  # buckets, as of dense taps
SAMPLED, CLASS_ROWS = "sample_rows", "class_rows"  # index files besides the table


class RowFacts:
    """What the index of a tap knows of its rows: `sample` and `label` of any row, how many rows are finite, `per_class`
    of them, and the `drawn` rows (at most 512) with the smallest sampling keys."""

    def __init__(self, activations: SparseActivations, classes: np.ndarray | None, n_classes: int, seed: int):
        self.n, self.seed, self.n_classes = activations.shape[0], seed, n_classes
        self._layout, self.classes, self.gaps = activations.layout, classes, activations.gaps
        self.finite = self.n - len(self.gaps)
        keys = sampling.keys_of(np.arange(self.n), seed)
        few = min(SAMPLE_ROWS, self.n)
        order = np.argpartition(keys, few - 1)[:few] if self.n else np.zeros(0, np.int64)
        order = order[np.argsort(keys[order], kind="stable")]
        self.drawn = order[keys[order] != sampling.EMPTY]
        self.tokens = np.diff(self._layout.offsets)
        self.per_class = np.zeros(n_classes, np.int64)
        if classes is not None:
            known = classes >= 0
            self.per_class = np.bincount(classes[known], self.tokens[known], n_classes).astype(np.int64)
            lost = self.label(self.gaps)
            self.per_class -= np.bincount(lost[lost >= 0], minlength=n_classes)

    @cached_property
    def samples(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The sample of each row; of each sample how many rows it has and its sign in the sketch. 4 bytes per row."""
        of_row = np.repeat(np.arange(len(self.tokens), dtype=np.int32), self.tokens)
        return of_row, self.tokens, sampling.signs_of(np.arange(len(self.tokens)), self.seed)

    def sample(self, rows: np.ndarray) -> np.ndarray:
        return self._layout.sample_of(rows)

    def label(self, rows: np.ndarray) -> np.ndarray:
        if self.classes is None:
            return np.full(len(rows), -1)
        return self.classes[self.sample(rows)]


def sparse_index(
    activations: SparseActivations, facts: RowFacts, with_sketch: bool, progress=no_progress
) -> dict[str, np.ndarray]:
    """Index files by name: the table, the sampled rows, the rows of each class, and the correlation sketch where asked.

    One pass over all entries, in blocks of units. Time about 1 µs per entry.
    """
    n_units = activations.shape[1]
    table = np.zeros(n_units, TABLE)
    table["unit"] = np.arange(n_units)
    projected = np.zeros((n_units if with_sketch else 0, SKETCH), np.int8)
    ones = _constant_sketch(activations, facts) if with_sketch else None
    for first, stop in _unit_blocks(activations):
        progress(first / n_units, f"indexing {activations.name}")
        entries = activations.entries(first, stop)
        _fill(table[first:stop], entries, activations, facts)
        if with_sketch:
            projected[first:stop] = _projected(entries, facts, *ones)
    number = np.round(table["fraction_nonzero"] * table["count"])
    frequent = frequent_files(activations, number, facts.classes, facts.n_classes, facts.seed)
    files = {**frequent, "table": table, SAMPLED: facts.drawn.astype(np.int64), CLASS_ROWS: facts.per_class}
    return {**files, "sketch": projected} if with_sketch else files


def _unit_blocks(activations: SparseActivations):
    """Runs of units with about `BLOCK_ENTRIES` entries each, by the mean."""
    n_units = activations.shape[1]
    step = max(1, int(BLOCK_ENTRIES * n_units / max(activations.n_entries, 1)))
    for first in range(0, n_units, step):
        yield first, min(first + step, n_units)


def _fill(table: np.ndarray, entries: Entries, activations: SparseActivations, facts: RowFacts) -> None:
    """The lines of a block of units."""
    from analysis.store import sparse_kernels
    from analysis.store.summaries import in_threads

    n, counts, values = facts.finite, np.diff(entries.starts), entries.values
    units = len(counts)
    powers, below = np.empty((units, 4)), np.empty(units, np.int64)
    low, high, ranks = np.empty(units), np.empty(units), np.empty((units, len(QUANTILES)))
    wanted = np.array([min(max(int(np.ceil(q * n)), 1), max(n, 1)) for q in QUANTILES.values()])

    def part(a: int, b: int) -> None:
        sparse_kernels.moments(entries.starts, values, n, powers, low, high, below, a, b)
        sparse_kernels.ranked(entries.starts, values, below, n, wanted, ranks, a, b)

    in_threads(part, units, len(values))
    mean, m2, m3, m4 = powers.T
    constant = low == high
    table["count"], table["nonfinite"] = n, len(activations.gaps)
    with np.errstate(invalid="ignore", divide="ignore"):
        table["mean"], table["minimum"], table["maximum"] = (
            np.where(n > 0, v, np.nan) for v in (mean, low, high)
        )
        table["sd"] = np.where(constant & (n > 1), 0.0, np.sqrt(m2 / (n - 1)) if n > 1 else np.nan)
        table["fraction_positive"] = (counts - below) / n if n else np.nan
        table["fraction_nonzero"] = counts / n if n else np.nan
        spread = ~constant & (m2 > 0)
        table["skewness"] = np.where(spread, np.sqrt(n) * m3 / m2**1.5, np.nan)
        table["kurtosis"] = np.where(spread, n * m4 / m2**2 - 3, np.nan)
    for name, column in zip(QUANTILES, ranks.T, strict=True):
        table[name] = column if n else np.nan
    table["dead"] = constant | (n == 0)
    best = _strongest_of_each(entries, below, facts)
    table["top_class"], table["top_class_share"] = top_class(
        SimpleNamespace(n_units=units, minimum=low, maximum=high, **best)
    )


def _strongest_of_each(entries: Entries, below: np.ndarray, facts: RowFacts) -> dict[str, np.ndarray]:
    """`top_values` (units, 64), -inf where there are fewer entries, and `top_classes`; of a unit that is negative
    somewhere its zeros are among them."""
    from analysis.store import sparse_kernels
    from analysis.store.summaries import in_threads

    n, starts = len(below), entries.starts
    top, at = np.empty((n, TOP_ROWS)), np.empty((n, TOP_ROWS), np.int64)
    in_threads(
        lambda a, b: sparse_kernels.strongest_entries(starts, entries.values, TOP_ROWS, top, at, a, b),
        n, len(entries.values),
    )  # fmt: skip
    label = np.full((n, TOP_ROWS), -1)
    label[at >= 0] = facts.label(entries.rows[at[at >= 0]])
    for j in np.flatnonzero(below):
        own = slice(starts[j], starts[j + 1])
        chosen, strong = strongest(entries.rows[own], entries.values[own], facts.n, facts.gaps)
        top[j], label[j] = -np.inf, -1
        top[j, : len(strong)], label[j, : len(strong)] = strong, facts.label(chosen)
    return {"top_values": top, "top_classes": label}


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


def _constant_sketch(activations: SparseActivations, facts: RowFacts) -> tuple[np.ndarray, float]:
    """The sketch of the constant 1 and the samples seen, rows without values left out."""
    sample = np.repeat(np.arange(len(facts.tokens)), facts.tokens)
    sample = np.delete(sample, activations.gaps)
    share = 1.0 / facts.tokens[sample]
    sign = sampling.signs_of(sample, facts.seed)
    return np.bincount(sample % SKETCH, sign * share, SKETCH), float(share.sum())


def _projected(entries: Entries, facts: RowFacts, ones: np.ndarray, seen: float) -> np.ndarray:
    """The int8 correlation sketch of a block of units, as of dense taps."""
    from analysis.store import sparse_kernels
    from analysis.store.summaries import in_threads

    n = len(entries.starts) - 1
    sums, totals = np.zeros((n, SKETCH)), np.zeros(n)
    given = (entries.starts, entries.rows, entries.values, *facts.samples, sums, totals)
    in_threads(lambda a, b: sparse_kernels.sketched(*given, a, b), n, len(entries.values))
    return correlation_sketch(
        SimpleNamespace(
            sketch=sums, sketch_ones=ones, samples_seen=np.array([seen]), n_units=n,
            missing=np.zeros((0, 0)), sample_sum=totals,
        )
    )  # fmt: skip


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


def _values_at(wanted: np.ndarray, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values (m,) float32 at the rows `wanted` (m,); `rows` rise."""
    at = np.minimum(np.searchsorted(rows, wanted), max(len(rows) - 1, 0))
    if not len(rows):
        return np.zeros(len(wanted), np.float32)
    return np.where(rows[at] == wanted, values[at], np.float32(0)).astype(np.float32)
