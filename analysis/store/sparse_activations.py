"""Activations of which nearly all are exactly 0, kept unit by unit: the latents of a sparse dictionary.

They are `analysis.activations.Activations` like any others, so that everything that reads a tap reads them; dense
blocks are made as they are asked for. What knows that they are sparse asks for `entries_of` or `entries`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from analysis.activations import CHUNK_ROWS, Activations, Layout
from analysis.errors import NotFound
from analysis.store.manifest import TapSpec
from analysis.store.sparse_shards import (
    Entries,
    SparseShard,
    in_row_order,
    read_between,
    read_from_each,
    read_units,
)

BLOCK_BYTES = 64 << 20  # of a dense block: 10⁵ units of float32 are 160 rows


class SparseActivations:
    """Implements `analysis.activations.Activations` on sparse shards.

    `gaps` (m,) rising: rows of which nothing is known, because the activations that were encoded are not finite there;
    they read as NaN. `source` gives the activations that were encoded, and `set_folder` holds the feature set that did
    it (`analysis.features.tap_dictionary` opens it); None where unknown. Values are float32. Single units and blocks of
    units are compared with their checksums as they are read; StoreDamaged names chunk and unit.
    """

    def __init__(
        self,
        name: str,
        spec: TapSpec,
        layout: Layout,
        shards: list[SparseShard],
        gaps: np.ndarray,
        digest: str,
        samples: Mapping[str, np.ndarray],
        tokens=None,
        source: Callable[[], Activations] | None = None,
        set_folder: Path | None = None,
    ) -> None:
        self.name, self.spec, self.layout, self.digest = name, spec, layout, digest
        self.samples, self.gaps, self._shards, self._tokens = samples, gaps, shards, tokens
        self.source, self.set_folder = source, set_folder
        self._n_rows = sum(s.rows for s in shards)

    def __repr__(self) -> str:
        return f"SparseActivations({self.name!r}, {self.shape}, {self.n_entries} values)"

    @property
    def shape(self) -> tuple[int, int]:
        return self._n_rows, self.spec.n_units

    @property
    def n_entries(self) -> int:
        """How many values are not 0."""
        return sum(s.entries for s in self._shards)

    @cached_property
    def unit_names(self) -> tuple[str, ...]:
        return self.spec.unit_names or tuple(str(j) for j in range(self.spec.n_units))

    def tokens(self, sample: int) -> list[str] | None:
        """Token texts of one sample; None where there are none."""
        return None if self._tokens is None else self._tokens(sample)

    def entries_of(self, unit: int) -> tuple[np.ndarray, np.ndarray]:
        """(rows int64, rising; values float32): where unit `unit` is not 0. Three short reads per shard."""
        unit = self._checked(unit)
        read = read_from_each(self._shards, unit, unit + 1)
        parts = [(s.first, e) for s, e in zip(self._shards, read, strict=True)]
        rows = [first + e.rows.astype(np.int64) for first, e in parts]
        values = [e.values.astype(np.float32) for _, e in parts]
        if not parts:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        return np.concatenate(rows), np.concatenate(values)

    def entries(self, first: int, stop: int) -> Entries:
        """The same of units first … stop - 1 together, unit by unit. Memory 12 bytes per entry, twice."""
        parts = read_from_each(self._shards, first, stop)
        counts = np.array([np.diff(p.starts) for p in parts]).reshape(len(parts), stop - first)
        starts = np.r_[0, np.cumsum(counts.sum(axis=0))]
        rows, values = np.empty(starts[-1], np.int64), np.empty(starts[-1], np.float32)
        before = np.cumsum(counts, axis=0) - counts
        for shard, part, own, shift in zip(self._shards, parts, counts, before, strict=True):
            to = np.repeat(starts[:-1] + shift - part.starts[:-1], own) + np.arange(len(part.rows))
            rows[to], values[to] = shard.first + part.rows.astype(np.int64), part.values
        return Entries(starts, rows, values)

    def unit(self, j: int) -> np.ndarray:
        """Unit `j` in every row, (rows,) float32."""
        rows, values = self.entries_of(j)
        out = np.zeros(self._n_rows, np.float32)
        out[rows] = values
        out[self.gaps] = np.nan
        return out

    @property
    def shards(self) -> tuple[SparseShard, ...]:
        """In row order."""
        return tuple(self._shards)

    def piece(self, unit: int, start: int, stop: int) -> np.ndarray:
        """Unit `unit` in the rows start … stop - 1, float32. Reads a few kilobytes, which are compared with no
        checksum, however often the unit fires."""
        unit, out = self._checked(unit), np.zeros(max(stop - start, 0), np.float32)
        for shard in self._shards:
            low, high = max(start - shard.first, 0), min(stop - shard.first, shard.rows)
            if low < high:
                rows, values = read_between(shard, unit, low, high)
                out[rows.astype(np.int64) + shard.first - start] = values
        gaps = self.gaps[slice(*np.searchsorted(self.gaps, (start, stop)))]
        out[gaps - start] = np.nan
        return out

    def sparse_chunks(self) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """Yield (first row, indptr, units, values) shard by shard, in row order: the units that are not 0."""
        for shard in self._shards:
            yield shard.first, *in_row_order(read_units(shard, 0, shard.n_units), shard.rows)

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, float32 block (<= rows, units)) in row order; fewer rows where they would be large."""
        rows = max(1, min(rows, BLOCK_BYTES // (4 * self.spec.n_units)))
        for first, indptr, units, values in self.sparse_chunks():
            for start in range(0, len(indptr) - 1, rows):
                yield first + start, self._dense(first, start, rows, indptr, units, values)

    def _dense(self, first, start, rows, indptr, units, values) -> np.ndarray:
        own = indptr[start : start + rows + 1]
        block = np.zeros((len(own) - 1, self.spec.n_units), np.float32)
        at = slice(own[0], own[-1])
        block[np.repeat(np.arange(len(own) - 1), np.diff(own)), units[at]] = values[at]
        inside = self.gaps[(self.gaps >= first + start) & (self.gaps < first + start + len(block))]
        block[inside - first - start] = np.nan
        return block

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, feature-major block (units, rows)) in row order, as `StoredActivations` does."""
        for first, block in self.chunks():
            yield first, np.ascontiguousarray(block.T)

    def take(self, rows) -> np.ndarray:
        """The given rows, (len(rows), units) float32. Reads the shards that hold them whole."""
        asked = np.atleast_1d(np.asarray(rows, dtype=np.int64))
        rows = np.where(asked < 0, asked + self._n_rows, asked)
        absent = asked[(rows < 0) | (rows >= self._n_rows)]
        if len(absent):
            raise NotFound(f"{self.name} has no row {absent[0]}", f"0 … {self._n_rows - 1}")
        out = np.zeros((len(rows), self.spec.n_units), np.float32)
        for shard in self._shards:
            inside = np.flatnonzero((rows >= shard.first) & (rows < shard.first + shard.rows))
            if not len(inside):
                continue
            indptr, units, values = in_row_order(read_units(shard, 0, shard.n_units), shard.rows)
            for i in inside:
                own = slice(*indptr[rows[i] - shard.first :][:2])
                out[i, units[own]] = values[own]
        out[np.isin(rows, self.gaps)] = np.nan
        return out

    def _checked(self, unit: int) -> int:
        n = self.spec.n_units
        if not -n <= unit < n:
            raise NotFound(f"{self.name} has no unit {unit}", f"0 … {n - 1}")
        return int(unit) % n
