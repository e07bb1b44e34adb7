"""Files of a finished index: plain .npy arrays, unit-major, of which a card reads a few kilobytes each.

A short tap has its table only: the rest is worked out from a unit's column when a card is opened (`unit_reading`).
The manifest's list of files says which it is.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from analysis.errors import NotFound, StoreDamaged
from analysis.store.durable import read_at, sync_directory, write_file
from analysis.store.summaries import FinishedIndex

FOLDER = "index"
REBUILD = "Make the index again with `loupe info STORE --rebuild-index`"
EXACT_VALUES = 20_000_000  # samples x units up to which correlations are exact and no sketch is kept
SHORT_ROWS = 8192  # rows of a tap up to which only the table is kept: columns are read as quickly then
_AS_STORED = ("sample_values", "slot_values", "top_values")  # values of the tap: its own dtype loses nothing
_COUNTS = ("bucket_count", "class_count")


def write_index(
    folder: Path, index: FinishedIndex, *, dtype: np.dtype, n_rows: int, with_sketch: bool
) -> list[Path]:
    """Write the arrays that a tap of `n_rows` rows keeps under `folder`/index; returns the files. The sketch is
    left out of small stores, where correlations are computed exactly. Raises OSError (disk full)."""
    arrays = {"table": index.table} if n_rows <= SHORT_ROWS else _narrow(index.arrays(), dtype)
    arrays.pop("sketch", None)
    if with_sketch:
        arrays["sketch"] = index.sketch
    folder = folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for stray in folder.iterdir():
        stray.unlink()
    files = [write_npy(folder / f"{name}.npy", array, sync_folder=False) for name, array in arrays.items()]
    sync_directory(folder)
    return files


def is_short(files: Mapping[str, object], slug: str) -> bool:
    """Whether the tap in folder `slug` keeps its table only, by the manifest's list of files."""
    return f"taps/{slug}/{FOLDER}/top_rows.npy" not in files


def _narrow(arrays: dict[str, np.ndarray], dtype: np.dtype) -> dict[str, np.ndarray]:
    """The arrays in the smallest type that keeps every number; `dtype` is the tap's."""
    narrow = {name: arrays[name].astype(dtype) for name in _AS_STORED}
    narrow |= {n: arrays[n].astype(np.min_scalar_type(int(arrays[n].max(initial=0)))) for n in _COUNTS}
    narrow["top_rows"] = arrays["top_rows"].astype(np.uint32)  # -1, of a value that is NaN, becomes 2^32 - 1
    return arrays | narrow


def write_npy(path: Path, array: np.ndarray, *, sync_folder: bool = True) -> Path:
    """Write one .npy file beside, sync, rename."""
    array = np.ascontiguousarray(array)
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(array))
    body = (
        array.view(np.uint8)
        if array.size and array.dtype.names is None
        else np.frombuffer(array.tobytes(), np.uint8)
    )
    write_file(path, head.getvalue(), body.reshape(-1).data if body.size else b"", sync_folder=sync_folder)
    return path


class ArrayFile:
    """An .npy file read in pieces by pread: no mapping to fault in, nothing kept open."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            with open(self.path, "rb") as f:
                version = np.lib.format.read_magic(f)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else None
                if read is None:
                    raise ValueError(f"format {version}")
                self.shape, _, self.dtype = read(f)
                self._start = f.tell()
                size = os.fstat(f.fileno()).st_size
        except FileNotFoundError:
            raise NotFound(f"{self.path} is missing", "a finished index", REBUILD) from None
        except ValueError as error:
            raise StoreDamaged(f"{self.path} is not a readable array ({error})", "", REBUILD) from None
        self._item = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))
        if size != self._start + self._item * self.shape[0]:
            raise StoreDamaged(f"{self.path} has {size} bytes", f"{self._start + self._item * self.shape[0]}")

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Rows start … stop - 1 along the first axis."""
        n = max(int(stop) - int(start), 0)
        with open(self.path, "rb", buffering=0) as f:
            data = read_at(f.fileno(), n * self._item, self._start + int(start) * self._item)
        if len(data) != n * self._item:
            raise StoreDamaged(f"{self.path} ends early", "", REBUILD)
        return np.frombuffer(data, self.dtype).reshape(n, *self.shape[1:])

    def row(self, i: int) -> np.ndarray:
        return self.rows(i, i + 1)[0]

    def whole(self) -> np.ndarray:
        return self.rows(0, self.shape[0])
