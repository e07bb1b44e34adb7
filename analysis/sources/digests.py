"""Content digests: equal digests mean equal bytes, whatever the files are called."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

LENGTH = 32  # hexadecimal digits kept of each sha256: 128 bits
BLOCK = 1 << 20


def file_digest(path: str | Path) -> str:
    """Digest of one file, read in blocks of 1 MiB. About 1 s per GB."""
    h = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            h.update(block)
    return h.hexdigest()[:LENGTH]


def files_digest(paths: Iterable[str | Path]) -> str:
    """Digest of several files, their names included (a shard under another name is another checkpoint)."""
    return text_digest(f"{Path(p).name}:{file_digest(p)}" for p in sorted(paths, key=lambda p: Path(p).name))


def bytes_digest(data) -> str:
    """Digest of bytes or of a contiguous buffer."""
    return hashlib.sha256(data).hexdigest()[:LENGTH]


def text_digest(lines: Iterable[str]) -> str:
    """Digest of an ordered sequence of texts; the borders between them count."""
    h = hashlib.sha256()
    for line in lines:
        data = line.encode("utf-8", "surrogatepass")
        h.update(len(data).to_bytes(8, "little") + data)
    return h.hexdigest()[:LENGTH]


def array_digest(array: np.ndarray) -> str:
    """Digest of an array's type, shape and values; memory maps are read in blocks of rows."""
    array = np.asarray(array)
    h = hashlib.sha256(repr((array.shape, array.dtype.str)).encode())
    if array.ndim == 0 or array.dtype.kind == "O":
        h.update(repr(array.tolist()).encode())
    else:
        rows = max(1, BLOCK // max(1, array[:1].nbytes))
        for start in range(0, len(array), rows):
            h.update(np.ascontiguousarray(array[start : start + rows]).tobytes())
    return h.hexdigest()[:LENGTH]
