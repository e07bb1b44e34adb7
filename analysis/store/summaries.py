"""Unit summaries: what the feature index knows of every unit, as partial -> merge -> finish.

A partial is updated with blocks of rows in any order, merged with partials from other chunks or machines (row
and sample indices are those of the whole data set), and finished into the arrays of the index. Counts, extremes,
the quantile sketch, the strongest rows and the sampled rows of merged partials are exactly those of one pass over
everything; moments agree to about 1e-12 (Chan, Golub, LeVeque 1983; Pébay 2008 for the third and fourth).
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from analysis.errors import InputError, ShapeError, TooLarge
from analysis.store import sampling
from analysis.store.missing import add_missing
from analysis.store.sketch import N_BUCKETS

SAMPLE_ROWS = 512
TOP_ROWS = 64  # strongest rows kept of each unit; as in kernels.py
THREADS = 2
_SMALL = 1 << 19  # values in a block below which a second thread costs more than it gives


@dataclass
class Rows:
    """What belongs to the rows of a block.

    row : (n,) index in the whole tap. sample : (n,) index of the sample. tokens : (n,) rows of that sample (its
    mean divides by it). label : (n,) class, -1 without one; None for no classes.
    """

    row: np.ndarray
    sample: np.ndarray
    tokens: np.ndarray | None = None
    label: np.ndarray | None = None

    @staticmethod
    def pooled(first: int, n: int, label=None) -> Rows:
        """One row per sample, rows first … first + n."""
        row = np.arange(first, first + n)
        return Rows(row, row, None, label)


class UnitSummary:
    """Partial summary of all units of one tap.

    Parameters
    ----------
    n_units : int
    n_classes : int
        Labels run from 0 to n_classes - 1; 0 for no classes.
    seed : int
        Order in which rows are sampled for the bands; must be equal in partials that are merged.

    Notes
    -----
    Memory about 18 kB per unit plus 20 bytes per unit and class (16,384 units: 300 MB). Time about 8 ns per value
    and core. Not safe for two threads at once; it uses two of its own.
    """

    def __init__(self, n_units: int, n_classes: int = 0, seed: int = 0) -> None:
        from analysis.store import kernels as k

        self.n_units, self.n_classes, self.seed = int(n_units), int(n_classes), int(seed)
        u, c = self.n_units, self.n_classes
        self.n_rows = 0
        self.moments = np.zeros((u, 5))  # n, mean, M2, M3, M4
        self.nonfinite = np.zeros(u, np.int64)
        self.positive = np.zeros(u, np.int64)
        self.nonzero = np.zeros(u, np.int64)
        self.minimum = np.full(u, np.inf, np.float32)
        self.maximum = np.full(u, -np.inf, np.float32)
        self.histogram = np.zeros((u, N_BUCKETS), np.uint32)
        self.top_values = np.full((u, k.TOP), -np.inf, np.float32)
        self.top_rows = np.full((u, k.TOP), sampling.EMPTY, np.uint32)
        self.top_classes = np.full((u, k.TOP), -1, np.int32)
        self.slot_keys = np.full((u, k.N_SLOTS, k.PER_SLOT), sampling.EMPTY, np.uint32)
        self.slot_values = np.zeros((u, k.N_SLOTS, k.PER_SLOT), np.float32)
        self.octaves = np.full(u, -1, np.int32)
        self.class_count = np.zeros((u, c), np.uint32)
        self.class_mean = np.zeros((u, c))
        self.class_m2 = np.zeros((u, c))
        self.sketch = np.zeros((u, k.SKETCH), np.float32)
        self.sketch_ones = np.zeros(k.SKETCH)  # the same sketch of the constant 1, for centring
        self.missing = np.zeros((0, 0), np.float32)  # see `missing`
        self.samples_seen = np.zeros(1)  # sum of 1 / tokens over rows
        self.sample_sum = np.zeros(u)  # sum over samples of the sample's mean
        self.sample_keys = np.full(SAMPLE_ROWS, sampling.EMPTY, np.uint32)
        self.sample_values = np.full((u, SAMPLE_ROWS), np.nan, np.float32)

    def update(self, block: np.ndarray, rows: Rows) -> None:
        """Add a feature-major block (units, rows), float16 or float32 as stored. One pass over its values."""
        from analysis.store import kernels

        block = np.ascontiguousarray(block)
        if block.ndim != 2 or block.shape[0] != self.n_units:
            raise ShapeError(f"a block has shape {block.shape}", f"({self.n_units}, rows)")
        if block.dtype not in (np.float16, np.float32):
            raise InputError(f"a block holds {block.dtype}", "float16 or float32")
        n = block.shape[1]
        if n == 0:
            return
        if int(rows.row.max()) > sampling.MAXIMUM_ROWS:
            raise TooLarge(f"row {int(rows.row.max())}", f"at most {sampling.MAXIMUM_ROWS} rows per tap")
        label = np.full(n, -1, np.int32) if rows.label is None else np.asarray(rows.label, np.int32)
        if len(label) != n or (n and label.max() >= max(self.n_classes, 1)):
            raise InputError(f"class {label.max()} in {len(label)} labels", f"{n} below {self.n_classes}")
        weight, place, consecutive = self._places(rows, kernels.SKETCH)
        key = sampling.keys_of(rows.row, self.seed)
        to, source = self._admit(key)
        order, starts, present = _by_class(label)
        bits = block.view(np.uint16 if block.dtype == np.float16 else np.int32)
        row = np.asarray(rows.row).astype(np.uint32)
        before = self.nonfinite.copy()

        def part(start: int, stop: int) -> None:
            kernels.summarise(
                bits, start, stop, row, key, label, weight, place, consecutive, order, starts, present, to, source,
                self.moments, self.nonfinite, self.positive, self.nonzero, self.minimum, self.maximum,
                self.histogram, self.top_values, self.top_rows, self.top_classes, self.slot_keys,
                self.slot_values, self.octaves, self.class_count, self.class_mean, self.class_m2, self.sketch,
                self.sample_sum, self.sample_values,
            )  # fmt: skip

        in_threads(part, self.n_units, block.size)
        gaps = np.flatnonzero(self.nonfinite != before)
        self.missing = add_missing(self.missing, block, gaps, weight, place, kernels.SKETCH)
        self.n_rows += n

    def _places(self, rows: Rows, buckets: int) -> tuple[np.ndarray, np.ndarray, bool]:
        """Weight and bucket of each row in the correlation sketch, and whether buckets follow one another."""
        sign = sampling.signs_of(rows.sample, self.seed)
        share = 1.0 if rows.tokens is None else 1.0 / np.asarray(rows.tokens, dtype=np.float64)
        weight = (sign * share).astype(np.float32)
        place = (np.asarray(rows.sample) % buckets).astype(np.int64)
        np.add.at(self.sketch_ones, place, sign * share)
        self.samples_seen += len(place) if rows.tokens is None else share.sum()
        consecutive = rows.tokens is None and bool((np.diff(rows.sample) == 1).all())
        return weight, place, consecutive

    def _admit(self, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which rows of the block enter the uniform sample (positions there, positions in the block)."""
        candidates = np.flatnonzero(key < self.sample_keys.max())
        if len(candidates) > SAMPLE_ROWS:
            candidates = candidates[np.argpartition(key[candidates], SAMPLE_ROWS - 1)[:SAMPLE_ROWS]]
        joined = np.concatenate([self.sample_keys, key[candidates]])
        kept = np.zeros(len(joined), bool)
        kept[np.argsort(joined, kind="stable")[:SAMPLE_ROWS]] = True
        free = np.flatnonzero(~kept[:SAMPLE_ROWS])
        entering = candidates[kept[SAMPLE_ROWS:]]
        self.sample_keys[free] = key[entering]
        return free.astype(np.int64), entering.astype(np.int64)

    def merge(self, other: UnitSummary) -> None:
        """Add another partial of the same tap (other rows). Order does not matter. O(units)."""
        from analysis.store.merging import merge_into

        if (self.n_units, self.n_classes, self.seed) != (other.n_units, other.n_classes, other.seed):
            raise InputError(
                f"summaries of {other.n_units} units, {other.n_classes} classes, seed {other.seed}",
                f"{self.n_units} units, {self.n_classes} classes, seed {self.seed}",
                "Merge partials of one tap only",
            )
        merge_into(self, other)

    def finish(self) -> FinishedIndex:
        """The arrays of the index. The partial stays as it is and can be updated further."""
        from analysis.store.finishing import finish

        return finish(self)

    def _arrays(self) -> dict[str, np.ndarray]:
        return {k: v for k, v in vars(self).items() if isinstance(v, np.ndarray)}

    def save(self, path: str | os.PathLike) -> None:
        """Write the partial as one npz file (beside, then renamed), for merging elsewhere."""
        path = Path(path)
        beside = path.with_name(f"{path.name}.tmp")
        head = np.array([self.n_units, self.n_classes, self.seed, self.n_rows], np.int64)
        with open(beside, "wb") as f:
            np.savez(f, __head__=head, **self._arrays())
        os.replace(beside, path)

    @staticmethod
    def load(path: str | os.PathLike) -> UnitSummary:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as data:
            n_units, n_classes, seed, n_rows = (int(x) for x in data["__head__"])
            summary = UnitSummary(n_units, n_classes, seed)
            for name in summary._arrays():
                setattr(summary, name, data[name])
        summary.n_rows = n_rows
        return summary


@dataclass
class FinishedIndex:
    """Arrays of a finished index, unit-major; see `index_files` for those that become files.

    table : (units,) structured. top_values, top_rows, (units, 64), rows -1 where there are fewer. bucket_* : the
    quantile sketch in CSR. slot_* : sampled rows per slot in CSR (see `bands`). sample_* : the uniform row sample.
    class_* : (units, classes). sketch : (units, 1024) int8, centred and scaled, for correlation candidates.
    """

    table: np.ndarray
    top_values: np.ndarray
    top_rows: np.ndarray
    bucket_start: np.ndarray
    bucket_index: np.ndarray
    bucket_count: np.ndarray
    slot_start: np.ndarray
    slot_keys: np.ndarray
    slot_values: np.ndarray
    sample_rows: np.ndarray
    sample_values: np.ndarray
    class_count: np.ndarray
    class_mean: np.ndarray
    class_sd: np.ndarray
    sketch: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


def _by_class(label: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(order, starts, present): positions of labelled rows sorted by class, where each class starts, the classes."""
    order = np.argsort(label, kind="stable").astype(np.int32)
    order = order[np.searchsorted(label[order], 0) :]
    present, first = np.unique(label[order], return_index=True)
    return order, np.append(first, len(order)).astype(np.int64), present.astype(np.int64)


def in_threads(part, n_units: int, n_values: int) -> None:
    """Run part(start, stop) over the units: at once when small, else in two threads (kernels release the GIL)."""
    if n_values < _SMALL or n_units < THREADS:
        part(0, n_units)
        return
    step = max(1, min(256, -(-n_units // THREADS)))
    starts = range(0, n_units, step)
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda s: part(s, min(s + step, n_units)), starts))
