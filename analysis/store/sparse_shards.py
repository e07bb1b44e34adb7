"""Sparse shards: one file with the non-zero values of all units of a tap over a run of rows, unit by unit.

    NNNNNN.codes = [units + 1] int64 where each unit begins | [entries] uint32 rows, counted from the shard's first,
                   rising inside a unit | [entries] values | [units] uint32: the CRC-32 of each unit's rows and values

An inverted index: one unit over all rows is three short reads per shard, whatever the number of units, and a shard
holds up to a million rows so that there are few of them. What is not listed is exactly 0. One checksum per unit, as in
`analysis.store.shards`; the digest is the SHA-256 of beginnings and checksums.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.errors import StoreDamaged
from analysis.store.durable import read_at, write_file

SHARD_ROWS = 1 << 20
SHARD_ENTRIES = 1 << 24  # entries gathered before a shard is written: 200 MB while it is turned round
OPEN_FILES = 64  # shards read from together
NEAR = 2048  # entries either side of where a row is looked for
_ROW = np.dtype("<u4")


@dataclass(frozen=True)
class SparseShard:
    """Where one shard lies and what it holds: `entries` non-zero values of rows first … first + rows of `n_units`
    units."""

    path: Path
    first: int
    rows: int
    n_units: int
    entries: int
    dtype: np.dtype
    digest: str

    @property
    def rows_at(self) -> int:
        return 8 * (self.n_units + 1)

    @property
    def values_at(self) -> int:
        return self.rows_at + _ROW.itemsize * self.entries

    @property
    def checksums_at(self) -> int:
        return self.values_at + self.dtype.itemsize * self.entries

    @property
    def n_bytes(self) -> int:
        return self.checksums_at + 4 * self.n_units


@dataclass(frozen=True)
class Entries:
    """Non-zero values unit by unit: of unit j, starts[j] … starts[j + 1] of `rows` and `values`, rows rising."""

    starts: np.ndarray
    rows: np.ndarray
    values: np.ndarray


def shard_name(number: int) -> str:
    return f"{number:06d}.codes"


def by_unit(indptr: np.ndarray, units: np.ndarray, values: np.ndarray, n_units: int) -> Entries:
    """Entries in row order (of row i: indptr[i] … indptr[i + 1] of `units` and `values`) turned round. Zeros are left
    out. O(entries + units)."""
    from analysis.store.sparse_kernels import turned  # Numba: on the writing side only

    kept = np.flatnonzero(values)
    if len(kept) < len(values):
        indptr, units, values = np.searchsorted(kept, indptr), units[kept], values[kept]
    starts = np.zeros(n_units + 1, np.int64)
    np.cumsum(np.bincount(units, minlength=n_units), out=starts[1:])
    rows, found = np.empty(len(values), _ROW), np.empty_like(values)
    bits = f"u{values.itemsize}"  # moved as they are: compiled loops know no float16
    turned(np.asarray(indptr, np.int64), units, values.view(bits), starts[:-1].copy(), rows, found.view(bits))
    return Entries(starts, rows, found)


def write_sparse_shard(path: Path, entries: Entries) -> str:
    """Write beside, sync, rename; returns the digest. Raises OSError (disk full)."""
    starts = np.ascontiguousarray(entries.starts, "<i8")
    rows = np.ascontiguousarray(entries.rows, _ROW)
    values = np.ascontiguousarray(entries.values)
    checksums = _checksums(starts, rows, values)
    write_file(path, starts.data, *(a.view(np.uint8).data for a in (rows, values) if a.size), checksums.data)
    return _digest(starts, checksums)


def _checksums(starts: np.ndarray, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    out = np.zeros(len(starts) - 1, "<u4")
    held, more = memoryview(rows.view(np.uint8)), memoryview(values.view(np.uint8))
    wide, size = rows.itemsize, values.itemsize
    for j in np.flatnonzero(np.diff(starts)):
        a, b = int(starts[j]), int(starts[j + 1])
        out[j] = zlib.crc32(more[a * size : b * size], zlib.crc32(held[a * wide : b * wide]))
    return out


def _digest(starts: np.ndarray, checksums: np.ndarray) -> str:
    h = hashlib.sha256(np.ascontiguousarray(starts, "<i8").tobytes())
    h.update(np.ascontiguousarray(checksums, "<u4").tobytes())
    return h.hexdigest()[:32]


def damaged(shard: SparseShard, what: str) -> StoreDamaged:
    return StoreDamaged(
        f"chunk {shard.path.parent.name}/{shard.path.name} (rows {shard.first} to {shard.first + shard.rows - 1}) "
        f"is damaged: {what}",
        "the bytes as they were written",
        f"Restore {shard.path} from a copy or encode the tap again",
    )


def read_tables(shard: SparseShard) -> tuple[np.ndarray, np.ndarray]:
    """Where each unit begins (units + 1,) and the checksums (units,), compared with the digest.

    Raises StoreDamaged where the file is missing, of another length, or its tables have changed.
    """
    try:
        with open(shard.path, "rb", buffering=0) as f:
            size = os.fstat(f.fileno()).st_size
            if size != shard.n_bytes:
                raise damaged(shard, f"it has {size} bytes instead of {shard.n_bytes}")
            starts = np.frombuffer(read_at(f.fileno(), shard.rows_at, 0), "<i8")
            checksums = np.frombuffer(read_at(f.fileno(), 4 * shard.n_units, shard.checksums_at), "<u4")
    except FileNotFoundError:
        raise damaged(shard, "the file is missing") from None
    if _digest(starts, checksums) != shard.digest:
        raise damaged(shard, "its tables have changed")
    return starts, checksums


def read_units(shard: SparseShard, first: int, stop: int) -> Entries:
    """Entries of units first … stop - 1, each compared with its checksum. Raises StoreDamaged naming the unit."""
    return read_from_each([shard], first, stop)[0]


def read_from_each(shards: Sequence[SparseShard], first: int, stop: int) -> list[Entries]:
    """The same of several shards. The disk is told beforehand what will be read of all of them, so that it is waited
    for twice and not four times a shard."""
    found: list[Entries] = []
    for i in range(0, len(shards), OPEN_FILES):
        found += _read_from_each(shards[i : i + OPEN_FILES], first, stop)
    return found


def _read_from_each(shards: Sequence[SparseShard], first: int, stop: int) -> list[Entries]:
    files: list[int] = []
    try:
        for shard in shards:
            try:
                files.append(os.open(shard.path, os.O_RDONLY))
            except FileNotFoundError:
                raise damaged(shard, "the file is missing") from None
            _announce(shards, files[-1], (8 * first, 8 * (stop - first + 1)))
        starts = [_starts(shard, fd, first, stop) for shard, fd in zip(shards, files, strict=True)]
        for shard, fd, own in zip(shards, files, starts, strict=True):
            a, n = int(own[0]), int(own[-1] - own[0])
            row, value = _ROW.itemsize, shard.dtype.itemsize
            _announce(shards, fd, (shard.rows_at + row * a, row * n), (shard.values_at + value * a, value * n),
                      (shard.checksums_at + 4 * first, 4 * (stop - first)))  # fmt: skip
        return [_checked(s, fd, own, first, stop) for s, fd, own in zip(shards, files, starts, strict=True)]
    finally:
        for fd in files:
            os.close(fd)


def _announce(shards: Sequence[SparseShard], fd: int, *parts: tuple[int, int]) -> None:
    """Tell the disk that these parts (place, bytes) of a file are wanted; of one file alone it is read at once."""
    if len(shards) > 1 and hasattr(os, "posix_fadvise"):
        for at, size in parts:
            if size:
                os.posix_fadvise(fd, at, size, os.POSIX_FADV_WILLNEED)


def _starts(shard: SparseShard, fd: int, first: int, stop: int) -> np.ndarray:
    starts = _read(shard, fd, "<i8", 8 * first, stop - first + 1)
    a, n = int(starts[0]), int(starts[-1] - starts[0])
    if not 0 <= a <= a + n <= shard.entries or (np.diff(starts) < 0).any():
        raise damaged(shard, f"the beginnings of units {first} to {stop - 1} have changed")
    return starts


def _checked(shard: SparseShard, fd: int, starts: np.ndarray, first: int, stop: int) -> Entries:
    a, n = int(starts[0]), int(starts[-1] - starts[0])
    rows = _read(shard, fd, _ROW, shard.rows_at + _ROW.itemsize * a, n)
    values = _read(shard, fd, shard.dtype, shard.values_at + shard.dtype.itemsize * a, n)
    known = _read(shard, fd, "<u4", shard.checksums_at + 4 * first, stop - first)
    starts = starts - a
    bad = np.flatnonzero(_checksums(starts, rows, values) != known)
    if len(bad):
        raise damaged(shard, f"unit {first + bad[0]} changed ({len(bad)} unit(s) in all)")
    return Entries(starts, rows, values)


def read_between(shard: SparseShard, unit: int, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows, values) of one unit in rows low … high - 1 of the shard, without the others: entries around the place
    where they would be if the unit fired evenly, more of them until these rows are among them. Not compared with
    a checksum."""
    fd = os.open(shard.path, os.O_RDONLY)
    try:
        a, b = (int(v) for v in _read(shard, fd, "<i8", 8 * unit, 2))
        middle, half = a + (b - a) * (low + high) // (2 * shard.rows), NEAR
        while True:
            first, stop = max(a, middle - half), min(b, middle + half)
            rows = _read(shard, fd, _ROW, shard.rows_at + _ROW.itemsize * first, stop - first)
            before, after = first == a or rows[0] < low, stop == b or rows[-1] >= high
            if before and after:
                break
            half *= 8
        own = slice(*np.searchsorted(rows, (low, high)))
        at = shard.values_at + shard.dtype.itemsize * (first + own.start)
        return rows[own], _read(shard, fd, shard.dtype, at, own.stop - own.start)
    finally:
        os.close(fd)


def _read(shard: SparseShard, fd: int, dtype, at: int, n: int) -> np.ndarray:
    dtype = np.dtype(dtype)
    data = read_at(fd, n * dtype.itemsize, at)
    if len(data) != n * dtype.itemsize:
        raise damaged(shard, "it is too short")
    return np.frombuffer(data, dtype)


def in_row_order(entries: Entries, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(indptr (rows + 1,), units, values): the entries of a shard of so many rows, row by row, units rising."""
    from scipy.sparse import csc_matrix

    turned = csc_matrix(
        (entries.values, entries.rows, entries.starts), shape=(rows, len(entries.starts) - 1)
    ).tocsr()
    return turned.indptr.astype(np.int64), turned.indices, turned.data
