"""Row-major pieces, as a network gives them, to one feature-major block, as a shard keeps them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.store.summaries import in_threads


class Scratch:
    """Memory used again from block to block: fresh pages cost more than the transposing itself."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []

    def array(self, shape: tuple[int, int], dtype: np.dtype, part: int = 0) -> np.ndarray:
        """An uninitialised array; it is valid until the next call for the same `part`."""
        size = shape[0] * shape[1] * dtype.itemsize
        self._parts += [np.empty(0, np.uint8)] * (part + 1 - len(self._parts))
        if size > self._parts[part].size:
            self._parts[part] = np.empty(size, np.uint8)
        return self._parts[part][:size].view(dtype).reshape(shape)


def feature_major(pieces: Sequence[np.ndarray], scratch: Scratch, part: int = 0) -> np.ndarray:
    """Join (rows_i, units) arrays of one dtype and transpose to (units, sum of rows_i), which lies in `part` of
    `scratch`. Two threads, in tiles."""
    from analysis.store.kernels import transpose_into

    n_units, dtype = pieces[0].shape[1], pieces[0].dtype
    out = scratch.array((n_units, sum(len(p) for p in pieces)), dtype, part)
    bits = np.uint16 if dtype.itemsize == 2 else np.int32
    target, at = out.view(bits), 0
    for piece in pieces:
        source = np.ascontiguousarray(piece).view(bits)
        own = target[:, at : at + len(piece)]

        def run(start: int, stop: int, source=source, own=own) -> None:
            transpose_into(source, own, start, stop)

        in_threads(run, n_units, piece.size)
        at += len(piece)
    return out


def stored(values: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, int, int]:
    """Convert to the stored dtype; also how many finite values became infinite (float16 ends at 65,504), and how many
    that were not 0 became 0 (float16 begins at 6e-8). Both are 0 where `values` have that dtype already."""
    values = np.asarray(values)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        converted = np.ascontiguousarray(values, dtype=dtype)
    if converted.dtype == values.dtype or values.size == 0:
        return converted, 0, 0
    kind, exponent = (np.uint16, 0x7C00) if dtype.itemsize == 2 else (np.uint32, 0x7F800000)
    size = converted.view(kind) << kind(1)  # without the sign; rises with the magnitude
    overflow = underflow = 0
    if int(size.max()) >= 2 * exponent:
        overflow = int(np.isfinite(values[size >= kind(2 * exponent)]).sum())
    if int(size.min()) == 0:
        underflow = int(np.count_nonzero(values != 0)) - int(np.count_nonzero(size))
    return converted, overflow, underflow
