"""Shards: one file with all units of one tap over a run of rows, feature-major.

    NNNNNN.rows = raw [units, rows] little-endian, then [units] uint32: the CRC-32 of each unit's bytes

Feature-major, so that one unit over all samples is one short read per shard; a few thousand rows per shard, so
that sample order can still be streamed. One checksum per unit means that a single unit is checked without
reading the others. The digest in the journal and manifest is the SHA-256 of the checksum table.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.errors import StoreDamaged
from analysis.store.durable import read_at, write_file

SHARD_ROWS = 8192  # the running summary costs a fifth less per value than with 4,096
SHARD_BYTES = 256 << 20  # wider taps get shorter shards: a shard is transposed in memory
_THREADS = 2
_OPEN_AT_ONCE = 256


@dataclass(frozen=True)
class Shard:
    """Where one shard lies and what it holds: rows first … first + rows of `n_units` units."""

    path: Path
    first: int
    rows: int
    n_units: int
    dtype: np.dtype
    digest: str

    @property
    def row_bytes(self) -> int:
        return self.rows * self.dtype.itemsize

    @property
    def n_bytes(self) -> int:
        return self.n_units * (self.row_bytes + 4)


def rows_per_shard(n_units: int, dtype: np.dtype) -> int:
    """Rows gathered before a shard is written: 8,192, fewer for taps beyond 16,384 float16 units, at least 256."""
    return max(256, min(SHARD_ROWS, SHARD_BYTES // (n_units * dtype.itemsize)))


def shard_name(number: int) -> str:
    return f"{number:06d}.rows"


def ahead_name(n_shards: int) -> str:
    """The write-ahead file of a tap with so many shards."""
    return f"pending-{n_shards:06d}.rows"


def unit_checksums(block: np.ndarray) -> np.ndarray:
    """CRC-32 of each row of a C-contiguous (units, rows) block, (units,) uint32. About 2 GB/s per thread."""
    view = block.view(np.uint8).reshape(len(block), -1)
    out = np.empty(len(block), dtype="<u4")

    def part(start: int, stop: int) -> None:
        crc = zlib.crc32
        for j in range(start, stop):
            out[j] = crc(view[j])

    if view.size < 1 << 22:
        part(0, len(block))
        return out
    middle = len(block) // 2
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(part, (0, middle), (middle, len(block))))
    return out


def table_digest(checksums: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(checksums, dtype="<u4").tobytes()).hexdigest()[:32]


def write_shard(path: Path, block: np.ndarray) -> str:
    """Write a (units, rows) block beside, sync, rename; returns its digest. Raises OSError (disk full)."""
    checksums = unit_checksums(block)
    write_file(path, block.data, checksums.data)
    return table_digest(checksums)


def damaged(shard: Shard, what: str) -> StoreDamaged:
    return StoreDamaged(
        f"chunk {shard.path.parent.name}/{shard.path.name} (rows {shard.first} to {shard.first + shard.rows - 1}) "
        f"is damaged: {what}",
        "the bytes as they were written",
        f"Restore {shard.path} from a copy or record the store again",
    )


def read_checksums(shard: Shard) -> np.ndarray:
    """The checksum table of a shard, (units,) uint32."""
    try:
        with open(shard.path, "rb") as f:
            if os.fstat(f.fileno()).st_size != shard.n_bytes:
                raise damaged(
                    shard, f"it has {os.fstat(f.fileno()).st_size} bytes instead of {shard.n_bytes}"
                )
            f.seek(shard.n_units * shard.row_bytes)
            table = np.frombuffer(f.read(), dtype="<u4")
    except FileNotFoundError:
        raise damaged(shard, "the file is missing") from None
    if table_digest(table) != shard.digest:
        raise damaged(shard, "its checksum table has changed")
    return table


def read_shard(shard: Shard, *, verify: bool = True) -> np.ndarray:
    """The whole (units, rows) block. Raises StoreDamaged naming chunk and unit when a byte has changed."""
    table = read_checksums(shard) if verify else None
    try:
        block = np.fromfile(shard.path, dtype=shard.dtype, count=shard.n_units * shard.rows)
    except FileNotFoundError:
        raise damaged(shard, "the file is missing") from None
    if block.size != shard.n_units * shard.rows:
        raise damaged(shard, "it is too short")
    block = block.reshape(shard.n_units, shard.rows)
    if verify:
        bad = np.flatnonzero(unit_checksums(block) != table)
        if len(bad):
            raise damaged(shard, f"unit {bad[0]} changed ({len(bad)} unit(s) in all)")
    return block


def read_unit(shards: list[Shard], j: int, checksums: np.ndarray | None) -> list[np.ndarray]:
    """Unit `j` from every shard, without touching another unit's bytes.

    `checksums` (n_shards,) uint32 for this unit; None skips the check. Raises StoreDamaged.
    """
    pieces: list[np.ndarray] = []
    for start in range(0, len(shards), _OPEN_AT_ONCE):
        group = slice(start, start + _OPEN_AT_ONCE)
        pieces += _read_group(shards[group], j, None if checksums is None else checksums[group])
    return pieces


def _read_group(shards: list[Shard], j: int, checksums: np.ndarray | None) -> list[np.ndarray]:
    fds: list[int] = []
    try:
        for shard in shards:
            try:
                fds.append(os.open(shard.path, os.O_RDONLY))
            except FileNotFoundError:
                raise damaged(shard, "the file is missing") from None
            if len(shards) > 1:  # ask for all pieces first: the disk works on them together
                os.posix_fadvise(fds[-1], 0, 0, os.POSIX_FADV_RANDOM)
                os.posix_fadvise(fds[-1], j * shard.row_bytes, shard.row_bytes, os.POSIX_FADV_WILLNEED)
        pieces = []
        for k, (shard, fd) in enumerate(zip(shards, fds, strict=True)):
            data = read_at(fd, shard.row_bytes, j * shard.row_bytes)
            if len(data) != shard.row_bytes:
                raise damaged(shard, "it is too short")
            if checksums is not None and zlib.crc32(data) != int(checksums[k]):
                raise damaged(shard, f"unit {j} changed")
            pieces.append(np.frombuffer(data, dtype=shard.dtype))
        return pieces
    finally:
        for fd in fds:
            os.close(fd)


def transposed(block: np.ndarray, dtype=np.float32, tile: int = 64) -> np.ndarray:
    """(units, rows) to C-contiguous (rows, units) of `dtype`, in tiles that stay in cache; two threads if large."""
    units, rows = block.shape
    out = np.empty((rows, units), dtype=dtype)

    def part(start: int, stop: int) -> None:
        for u in range(start, stop, tile):
            end = min(u + tile, stop)
            for r in range(0, rows, tile):
                out[r : r + tile, u:end] = block[u:end, r : r + tile].T

    if block.size < 1 << 22:
        part(0, units)
    else:
        middle = units // 2 // tile * tile
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(part, (0, middle), (middle, units)))
    return out
