"""Files of a finished index: plain .npy arrays, unit-major, of which a card reads a few kilobytes each."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np

from analysis.errors import NotFound, StoreDamaged
from analysis.store.durable import sync_directory, write_file
from analysis.store.summaries import FinishedIndex

FOLDER = "index"
EXACT_VALUES = 20_000_000  # samples x units up to which correlations are exact and no sketch is kept


def write_index(folder: Path, index: FinishedIndex, *, dtype: np.dtype, with_sketch: bool) -> list[Path]:
    """Write the arrays under `folder`/index; returns the files. The sketch is left out of small stores, where
    correlations are computed exactly. Raises OSError (disk full)."""
    arrays = index.arrays()
    arrays["sample_values"] = arrays["sample_values"].astype(dtype)  # stored values: nothing is lost
    if not with_sketch:
        del arrays["sketch"]
    folder = folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for stray in folder.iterdir():
        stray.unlink()
    files = [write_npy(folder / f"{name}.npy", array, sync_folder=False) for name, array in arrays.items()]
    sync_directory(folder)
    return files


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
            raise NotFound(f"{self.path} is missing", "a finished index", "Rebuild the index") from None
        except ValueError as error:
            raise StoreDamaged(
                f"{self.path} is not a readable array ({error})", "", "Rebuild the index"
            ) from None
        self._item = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))
        if size != self._start + self._item * self.shape[0]:
            raise StoreDamaged(f"{self.path} has {size} bytes", f"{self._start + self._item * self.shape[0]}")

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Rows start … stop - 1 along the first axis."""
        n = max(int(stop) - int(start), 0)
        with open(self.path, "rb", buffering=0) as f:
            data = os.pread(f.fileno(), n * self._item, self._start + int(start) * self._item)
        if len(data) != n * self._item:
            raise StoreDamaged(f"{self.path} ends early", "", "Rebuild the index")
        return np.frombuffer(data, self.dtype).reshape(n, *self.shape[1:])

    def row(self, i: int) -> np.ndarray:
        return self.rows(i, i + 1)[0]

    def whole(self) -> np.ndarray:
        return self.rows(0, self.shape[0])
