"""Activations read from a store: one unit at a time by short reads, or all units streamed in row order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from analysis.activations import CHUNK_ROWS, Layout
from analysis.errors import NotFound
from analysis.store.index_files import ArrayFile
from analysis.store.manifest import DIGESTED
from analysis.store.shards import Shard, read_shard, read_unit, transposed

if TYPE_CHECKING:
    from analysis.store.reader import Store

_verified: set[tuple[str, str]] = (
    set()
)  # (path, digest): each shard is checked once per process when streamed


class StoredActivations:
    """Implements `analysis.activations.Activations` on a store's shards.

    Values are returned as float32. `digest` is made from the shards' checksums and the sample table's, so it costs
    no reading. Damaged bytes raise StoreDamaged naming the chunk: always for single units, once per process when
    streaming; rows of an unfinished store that are not in a shard yet are checked, and kept in memory, when this is
    made.
    """

    def __init__(self, store: Store, tap: str) -> None:
        self.store, self.tap = store, tap
        self.spec = store.taps[tap] if tap in store.taps else store.entry(tap)
        self._shards: list[Shard] = store.shards(tap)
        self._pending = store.pending(tap)
        self.name = f"{store.name}:{tap}"
        self._n_rows = sum(s.rows for s in self._shards) + (
            0 if self._pending is None else len(self._pending)
        )

    def __repr__(self) -> str:
        return f"StoredActivations({self.name!r}, {self.shape})"

    @property
    def shape(self) -> tuple[int, int]:
        return self._n_rows, self.spec.n_units

    @cached_property
    def unit_names(self) -> tuple[str, ...]:
        return self.spec.unit_names or tuple(str(j) for j in range(self.spec.n_units))

    @cached_property
    def layout(self) -> Layout:
        return self.store.layout(self.tap)

    @property
    def samples(self) -> Mapping[str, np.ndarray]:
        return self.store.samples

    def tokens(self, sample: int) -> list[str] | None:
        """Token texts of one sample; None where there are none."""
        return self.store.tokens(sample)

    @cached_property
    def digest(self) -> str:
        h = hashlib.sha256(repr((self.shape, self.spec.dtype, self.spec.tokens)).encode())
        h.update(self.spec.types.encode())  # the same rows are other tokens then
        said = self.store.manifest.get("digested") or ()
        for what in (name for name in DIGESTED if name in said):
            h.update(repr((what, getattr(self.spec, what))).encode())
        h.update("".join(s.digest for s in self._shards).encode())
        if self._pending is not None:
            h.update(self._pending.tobytes())
        files = self.store.manifest.get("files", {})
        kept = {k: v for k, v in files.items() if k == "samples.parquet" or k.endswith("offsets.npy")}
        h.update(json.dumps([kept, self.store.n_samples], sort_keys=True).encode())
        return h.hexdigest()[:32]

    def chunks(self, rows: int = CHUNK_ROWS) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, float32 block (<= rows, units)) in row order; a block never spans two shards."""
        for shard in self._shards:
            block = self._read(shard)
            for start in range(0, shard.rows, rows):
                yield shard.first + start, transposed(block[:, start : start + rows])
        if self._pending is not None:
            first = self._n_rows - len(self._pending)
            for start in range(0, len(self._pending), rows):
                yield first + start, self._pending[start : start + rows].astype(np.float32)

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, feature-major block (units, rows) as stored) shard by shard, without transposing."""
        for shard in self._shards:
            yield shard.first, self._read(shard)
        if self._pending is not None:
            yield self._n_rows - len(self._pending), np.ascontiguousarray(self._pending.T)

    def _read(self, shard: Shard) -> np.ndarray:
        known = (str(shard.path.resolve()), shard.digest)
        block = read_shard(shard, verify=known not in _verified)
        _verified.add(known)
        return block

    def unit(self, j: int) -> np.ndarray:
        """Unit `j` over all rows, (rows,) float32; reads that unit's bytes only. Raises NotFound, StoreDamaged."""
        return self._raw_unit(j).astype(np.float32)

    def _raw_unit(self, j: int) -> np.ndarray:
        j = self._position(j)
        checksums = self._checksums.row(j) if self._checksums is not None else None
        pieces = read_unit(self._shards, j, checksums)
        if self._pending is not None:
            pieces.append(self._pending[:, j])
        return np.concatenate(pieces) if pieces else np.empty(0, self.spec.numpy_dtype)

    @cached_property
    def _checksums(self) -> ArrayFile | None:
        return ArrayFile(self.store.folder(self.tap) / "checksums.npy") if self.store.complete else None

    def _position(self, j: int) -> int:
        return self.store.tap_position(self.tap, j)

    def units(self, js) -> np.ndarray:
        """Several units, (rows, len(js)) float32, reading only theirs."""
        js = [int(j) for j in np.atleast_1d(np.asarray(js, dtype=np.int64))]
        out = np.empty((self._n_rows, len(js)), np.float32, order="F")
        for k, j in enumerate(js):
            out[:, k] = self._raw_unit(j)
        return out

    def take(self, rows) -> np.ndarray:
        """The given rows, (len(rows), units) float32. Reads the shards that hold them (a row is spread over its
        whole shard), so it costs a pass over those shards."""
        asked = np.atleast_1d(np.asarray(rows, dtype=np.int64))
        rows = np.where(asked < 0, asked + self._n_rows, asked)
        absent = asked[(rows < 0) | (rows >= self._n_rows)]
        if len(absent):
            raise NotFound(f"{self.name} has no row {absent[0]}", f"0 … {self._n_rows - 1}")
        out = np.empty((len(rows), self.spec.n_units), np.float32)
        for shard in self._shards:
            inside = np.flatnonzero((rows >= shard.first) & (rows < shard.first + shard.rows))
            if len(inside):
                out[inside] = transposed(self._read(shard)[:, rows[inside] - shard.first])
        if self._pending is not None:
            first = self._n_rows - len(self._pending)
            inside = np.flatnonzero(rows >= first)
            out[inside] = self._pending[rows[inside] - first]
        return out
