"""A large matrix on disk in its drawing order, as a pyramid, so that any part of it is there at once at any size.

Level 0 are the cells. Each further level halves both sides: of each 2 x 2 it keeps the entry of largest magnitude with
its sign (of two that are equally large the positive one, so that a symmetric matrix stays symmetric). A strong cell
is therefore seen from however far away, and a gathered cell says "somewhere here", never "on average here".

    header.json     schema, shape, scale, checksum of checksums.npy
    checksums.npy   CRC-32 of every tile of every level
    level-LL.tiles  int16 tiles of 256 x 256 cells, tile row by tile row, zeros beyond the edge

A value is its int16 times `scale`: a resolution of 1 / 32,767 of the largest value, error at most half of that.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import shutil
import zlib
from pathlib import Path

import numpy as np

from analysis.errors import InputError, NewerSchema, ShapeError, StoreDamaged
from analysis.store.durable import made_directory, room_for, sync_directory, write_file

SCHEMA = 1
SIDE = 256  # of a tile
STEPS = 32_767  # of a value, on either side of zero
_HEADER, _CHECKSUMS = "header.json", "checksums.npy"


class Tiles:
    """A matrix as `TilesWriter` left it; a reader keeps nothing in memory.

    shape : (rows, columns) of level 0. scale : stored int16 times scale gives the value. levels : how many there are;
    the last is a single cell.
    """

    def __init__(self, path: Path, shape: tuple[int, int], scale: float, checksums: list[np.ndarray]) -> None:
        self.path, self.shape, self.scale = path, shape, scale
        self._checksums = checksums
        self._maps = [_mapped(path, level, side) for level, side in enumerate(_sides(shape))]

    @classmethod
    def open(cls, path: str | os.PathLike) -> Tiles:
        """Open a folder of tiles. Some small reads, whatever the size of the matrix.

        Raises StoreDamaged with the path where it is absent or not whole, NewerSchema.
        """
        path = Path(path)
        try:
            header = json.loads((path / _HEADER).read_text())
            if int(header["schema"]) > SCHEMA:
                raise NewerSchema(
                    f"{path} has schema {header['schema']}", f"at most {SCHEMA}", "Update Feature Loupe"
                )
            p, q = (int(side) for side in header["shape"])
            checksums = _checksums_of(path, (p, q), int(header["checksums"]))
            return cls(path, (p, q), float(header["scale"]), checksums)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _damaged(path, f"({error})") from None

    @property
    def levels(self) -> int:
        return len(self._maps)

    def block(
        self, r0: int, r1: int, c0: int, c1: int, most: int = 512
    ) -> tuple[np.ndarray, int, tuple[int, int]]:
        """Cells [r0:r1, c0:c1], clipped to the matrix, from the finest level at which both sides are <= `most`.

        Returns
        -------
        values : (a, b) float32, a and b <= `most`; level : each is gathered from 2**level cells a side (fewer at the
        edge); first : row and column of level 0 at which values[0, 0] begins. Where the level is coarser than the
        block asked for, whole gathered cells are given: a little more than asked.

        Raises
        ------
        ShapeError
            Nothing of the block lies in the matrix, or `most` < 2.
        StoreDamaged
            A tile is not as it was written.
        """
        (p, q), asked = self.shape, (r0, r1, c0, c1)
        r0, r1, c0, c1 = (int(np.clip(v, 0, side)) for v, side in zip(asked, (p, p, q, q), strict=True))
        if r1 <= r0 or c1 <= c0 or most < 2:
            raise ShapeError(f"block {asked} of at most {most} a side", f"rows and columns inside {p} × {q}")
        level, span = 0, (r0, r1, c0, c1)
        while max(span[1] - span[0], span[3] - span[2]) > most:
            level += 1
            span = (r0 >> level, -(-r1 >> level), c0 >> level, -(-c1 >> level))
        stored = self._read(level, *span)
        values = (stored * self.scale).astype(np.float32)  # in float64: the largest comes out exactly
        return values, level, (span[0] << level, span[2] << level)

    def stored(self, level: int, r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
        """Gathered cells [r0:r1, c0:c1] of one level as they are kept: int16, of which a value is `scale` times one.
        Clipped to the level. Raises StoreDamaged."""
        p, q = _sides(self.shape)[level]
        return self._read(level, r0, min(r1, p), c0, min(c1, q))

    def _read(self, level: int, r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
        """Stored numbers [r0:r1, c0:c1] of a level; each tile is checked against its checksum."""
        out = np.empty((r1 - r0, c1 - c0), np.int16)
        for i in range(r0 // SIDE, -(-r1 // SIDE)):
            for j in range(c0 // SIDE, -(-c1 // SIDE)):
                tile = self._maps[level][i, j]
                if zlib.crc32(tile) != self._checksums[level][i, j]:
                    raise _damaged(self.path, f"(tile {i}, {j} of level {level} is not what was written)")
                top, left = max(r0, i * SIDE), max(c0, j * SIDE)
                end, right = min(r1, (i + 1) * SIDE), min(c1, (j + 1) * SIDE)
                out[top - r0 : end - r0, left - c0 : right - c0] = tile[
                    top - i * SIDE : end - i * SIDE, left - j * SIDE : right - j * SIDE
                ]
        return out


class TilesWriter:
    """Write a matrix block by block, in any order; `finish` builds the levels and puts the folder in place.

    path : the folder to make; it takes the place of what is there. shape : (rows, columns). scale : largest magnitude
    / 32,767. symmetric : only blocks with rows before columns need to be written, each is mirrored. Use it in a `with`
    block: what was not finished is taken away again. Memory: one row of tiles.
    """

    def __init__(
        self, path: str | os.PathLike, shape: tuple[int, int], scale: float, *, symmetric: bool = False
    ) -> None:
        p, q = (int(side) for side in shape)
        if p < 1 or q < 1 or (symmetric and p != q):
            raise ShapeError(f"a matrix of {p} × {q}", "at least one cell; a symmetric one is square")
        if not (np.isfinite(scale) and scale > 0):
            raise InputError(f"scale = {scale}", "the largest magnitude divided by 32,767")
        self.path, self.shape, self.scale, self.symmetric = Path(path), (p, q), float(scale), symmetric
        self._beside = self.path.with_name(f".{self.path.name}.{os.getpid()}-{secrets.token_hex(4)}")
        with room_for(self.path, "a heat map"):
            made_directory(self._beside)
            self._cells = _made(self._beside, 0, (p, q))

    def __enter__(self) -> TilesWriter:
        return self

    def __exit__(self, *_failure) -> None:
        self.discard()

    def write(self, r0: int, c0: int, values: np.ndarray) -> None:
        """Put `values` (a, b) at row r0 and column c0 of level 0 (and mirrored, where symmetric).

        Raises ShapeError outside the matrix, InputError for a value that is not finite or beyond 32,767 scales.
        """
        values = np.asarray(values)
        a, b = values.shape
        if r0 < 0 or c0 < 0 or r0 + a > self.shape[0] or c0 + b > self.shape[1]:
            raise ShapeError(
                f"a block of {a} × {b} at {r0}, {c0}", f"inside {self.shape[0]} × {self.shape[1]}"
            )
        for top in range(
            0, a, SIDE
        ):  # piece by piece: the whole block once more in float64 would be too much
            steps = np.rint(np.asarray(values[top : top + SIDE], np.float64) / self.scale)
            largest = np.abs(steps).max(initial=0)
            if not largest <= STEPS:  # also where it is NaN
                raise InputError(
                    f"a value of {largest * self.scale:g}", f"finite, at most {STEPS * self.scale:g} in size"
                )
            stored = steps.astype(np.int16)
            _put(self._cells, r0 + top, c0, stored)
            if self.symmetric:
                _put(self._cells, c0, r0 + top, stored.T)

    def finish(self) -> Tiles:
        """Build the further levels, write checksums and header, and rename into place: whole or not at all."""
        sums, below = [], self._cells
        with room_for(self.path, "a heat map"):
            for level, side in enumerate(_sides(self.shape)):
                cells = below if level == 0 else _made(self._beside, level, side)
                if level:
                    _halve(below, cells)
                sums.append(_sums(cells))
                cells.flush()
                below = cells
            self._seal(sums)
            _replace(self._beside, self.path)
        return Tiles.open(self.path)

    def _seal(self, sums: list[np.ndarray]) -> None:
        buffer = io.BytesIO()
        np.save(buffer, np.concatenate([s.ravel() for s in sums]), allow_pickle=False)
        header = {
            "schema": SCHEMA, "shape": list(self.shape), "scale": self.scale,
            "checksums": zlib.crc32(buffer.getvalue()),
        }  # fmt: skip
        write_file(self._beside / _CHECKSUMS, buffer.getvalue())
        write_file(self._beside / _HEADER, json.dumps(header).encode())

    def discard(self) -> None:
        """Take away what was not finished; nothing after `finish`."""
        shutil.rmtree(self._beside, ignore_errors=True)


# ---------------------------------------------------------------------------- levels and tiles
def _sides(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """(rows, columns) of every level, down to a single cell."""
    found = [shape]
    while max(found[-1]) > 1:
        found.append(tuple(-(-side // 2) for side in found[-1]))
    return found


def _grid(shape: tuple[int, int]) -> tuple[int, int]:
    """How many rows and columns of tiles hold so many cells."""
    return -(-shape[0] // SIDE), -(-shape[1] // SIDE)


def _file(path: Path, level: int) -> Path:
    return path / f"level-{level:02d}.tiles"


def _made(path: Path, level: int, shape: tuple[int, int]) -> np.memmap:
    """A file of zeros as (tile rows, tile columns, SIDE, SIDE)."""
    return np.memmap(_file(path, level), np.int16, "w+", shape=(*_grid(shape), SIDE, SIDE))


def _mapped(path: Path, level: int, shape: tuple[int, int]) -> np.memmap:
    expected, file = (*_grid(shape), SIDE, SIDE), _file(path, level)
    if file.stat().st_size != 2 * int(np.prod(expected)):
        raise ValueError(f"{file.name} is {file.stat().st_size:,} bytes")
    return np.memmap(file, np.int16, "r", shape=expected)


def _put(cells: np.ndarray, r0: int, c0: int, stored: np.ndarray) -> None:
    """Copy a block into the tiles it lies in."""
    r1, c1 = r0 + stored.shape[0], c0 + stored.shape[1]
    for i in range(r0 // SIDE, -(-r1 // SIDE)):
        for j in range(c0 // SIDE, -(-c1 // SIDE)):
            top, left = max(r0, i * SIDE), max(c0, j * SIDE)
            end, right = min(r1, (i + 1) * SIDE), min(c1, (j + 1) * SIDE)
            cells[i, j, top - i * SIDE : end - i * SIDE, left - j * SIDE : right - j * SIDE] = stored[
                top - r0 : end - r0, left - c0 : right - c0
            ]


def _halve(below: np.ndarray, cells: np.ndarray) -> None:
    """Fill a level from the one below, one row of its tiles at a time."""
    for i in range(cells.shape[0]):
        band = np.zeros((2 * SIDE, cells.shape[1] * 2 * SIDE), np.int16)
        for k, row in enumerate(below[2 * i : 2 * i + 2]):
            flat = row.swapaxes(0, 1).reshape(SIDE, -1)
            band[k * SIDE : (k + 1) * SIDE, : flat.shape[1]] = flat
        kept = strongest_of_four(band)
        cells[i] = kept.reshape(SIDE, -1, SIDE).swapaxes(0, 1)


def strongest_of_four(cells: np.ndarray) -> np.ndarray:
    """(a / 2, b / 2): of each 2 x 2 of `cells` (a, b), both even, the entry of largest magnitude with its sign; of
    two that are equally large the positive one."""
    best = _stronger(cells[:, ::2], cells[:, 1::2])
    return _stronger(best[::2], best[1::2])


def _stronger(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    high, low = np.maximum(one, other), np.minimum(one, other)
    return np.where(high >= -low, high, low)


def _sums(cells: np.ndarray) -> np.ndarray:
    return np.array([[zlib.crc32(tile) for tile in row] for row in cells], dtype=np.uint32)


def _checksums_of(path: Path, shape: tuple[int, int], expected: int) -> list[np.ndarray]:
    data = (path / _CHECKSUMS).read_bytes()
    if zlib.crc32(data) != expected:
        raise ValueError(f"{_CHECKSUMS} is not what was written")
    flat, grids = np.load(io.BytesIO(data), allow_pickle=False), [_grid(side) for side in _sides(shape)]
    ends = np.cumsum([rows * columns for rows, columns in grids])
    return [part.reshape(grid) for part, grid in zip(np.split(flat, ends[:-1]), grids, strict=True)]


def _damaged(path: Path, why: str) -> StoreDamaged:
    return StoreDamaged(f"{path} is not a whole heat map {why}", "", "Run its analysis again")


def _replace(beside: Path, path: Path) -> None:
    """Rename a folder to where it belongs. What is there goes: it was damaged, or somebody made the same."""
    sync_directory(beside)
    old = path.with_name(f".{path.name}.old-{secrets.token_hex(4)}")
    while True:
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, old)
        try:
            os.rename(beside, path)
            break
        except OSError:  # somebody was quicker: theirs holds the same
            if not path.exists():
                raise
            shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    sync_directory(path.parent)
