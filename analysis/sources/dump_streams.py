"""Blocks of consecutive samples of one array of a dump, never the whole of it in memory.

.npy by memory map; a member of an .npz by reading its zip stream in order; safetensors by slices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.errors import InputError
from analysis.sources.file_magic import magic
from analysis.sources.numpy_files import array_headers, opened_member, read_array, read_header


@dataclass(frozen=True)
class ArrayStream:
    """One array: `blocks(n)` yields (<= n, …) pieces along the first axis, in order, as stored."""

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: str  # NumPy's name, "float32" for types that NumPy lacks
    kind: str  # "f", "i", "u", "b", or another letter for what holds no numbers
    format: str  # "npy", "npz" or "safetensors"

    def blocks(self, samples: int) -> Iterator[np.ndarray]:
        read = {"npy": _npy_blocks, "npz": _npz_blocks, "safetensors": _safetensors_blocks}[self.format]
        return read(self, samples)


def streams(path: Path) -> dict[str, ArrayStream]:
    """Every array of a file by name, from headers only. A .npy's array is called after the file."""
    found = magic(path)
    if found == "safetensors" or path.suffix == ".safetensors":
        return _safetensors_streams(path)
    is_zip = found == "zip"
    result = {}
    for name, header in array_headers(path).items():
        if header.fortran and is_zip and len(header.shape) > 1:
            raise InputError(
                f"array '{name}' of {path} is in Fortran order, which cannot be read in rows from an archive",
                "C order",
                "Save numpy.ascontiguousarray(array), or use .npy",
            )
        kind = header.dtype.kind
        result[name or path.stem] = ArrayStream(
            path, name, header.shape, header.dtype.name, kind, "npz" if is_zip else "npy"
        )
    return result


def _safetensors_streams(path: Path) -> dict[str, ArrayStream]:
    from analysis.sources.module_tree import in_natural_order
    from analysis.sources.safetensors_file import headers

    names = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "float32", "BOOL": "bool"}
    result = {}
    types = headers(path)
    for name in in_natural_order({k: h.shape for k, h in types.items()}):
        code = types[name].dtype
        if code.startswith("F8"):
            dtype, kind = "float32", "f"
        elif code in names:
            dtype, kind = names[code], "b" if code == "BOOL" else "f"
        else:
            dtype, kind = code.lower(), code[0].lower()
        result[name] = ArrayStream(path, name, types[name].shape, dtype, kind, "safetensors")
    return result


def _npy_blocks(stream: ArrayStream, samples: int) -> Iterator[np.ndarray]:
    values = read_array(stream.path)
    for start in range(0, len(values), samples):
        yield np.asarray(values[start : start + samples])


def _npz_blocks(stream: ArrayStream, samples: int) -> Iterator[np.ndarray]:
    title = f"array '{stream.name}' of {stream.path}"
    with opened_member(stream.path, stream.name) as file:
        header = read_header(file, title)
        row = header.dtype.itemsize * int(np.prod(header.shape[1:], dtype=np.int64))
        for start in range(0, header.shape[0], samples):
            n = min(samples, header.shape[0] - start)
            data = _exactly(file, n * row, f"{title} ends within samples {start} to {start + n}")
            yield np.frombuffer(data, header.dtype).reshape(n, *header.shape[1:])


def _exactly(file, n: int, found: str) -> bytes:
    """n bytes of a stream that may return fewer at a time."""
    parts, left = [], n
    while left:
        part = file.read(min(left, 1 << 24))
        if not part:
            raise InputError(found, f"{n} more bytes", "The file is truncated: copy it again")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _safetensors_blocks(stream: ArrayStream, samples: int) -> Iterator[np.ndarray]:
    from analysis.sources.safetensors_file import headers, opened

    narrow = headers(stream.path)[stream.name].dtype.startswith(("BF", "F8"))
    with opened(stream.path, "pt" if narrow else "numpy") as file:
        values = file.get_slice(stream.name)
        for start in range(0, stream.shape[0], samples):
            block = values[start : min(start + samples, stream.shape[0])]  # it refuses to slice past the end
            yield block.float().numpy() if narrow else block
