"""The codes of a dictionary beside the activations they were made from, chunk by chunk, as sparse arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from analysis.activations import Activations
from analysis.compute.streaming import Pass, finite_blocks
from analysis.spec import Progress, no_progress

if TYPE_CHECKING:
    from scipy.sparse import csr_array

DENSE = 0.1  # share of values that are not 0 from which a dense product is the faster one


def likely_size(k: int) -> tuple[float, float]:
    """What a cost estimate, which knows a tap's features only, takes for its source's units and for how many features
    are active in a row: all up to 1,024; above, a sparse code of eight times the units with 64 active."""
    return (k, k) if k <= 1024 else (k / 8, 64.0)


class CodeRows:
    """The codes (rows, k) of a sparse tap, any rising run of rows at a time, each shard read once."""

    def __init__(self, codes: Activations) -> None:
        from scipy.sparse import csr_array

        self._shards, self._k = codes.sparse_chunks(), codes.shape[1]
        self._first, self._held = 0, csr_array((0, self._k), dtype=np.float32)

    def of(self, rows: np.ndarray) -> csr_array:
        """`rows` (m,) rising, none before those asked for last."""
        from scipy.sparse import csr_array, vstack

        while rows[-1] >= self._first + self._held.shape[0]:
            first, indptr, units, values = next(self._shards)
            more = csr_array((values, units, indptr), shape=(len(indptr) - 1, self._k))
            left = self._held[max(rows[0] - self._first, 0) :]
            self._first = first - left.shape[0]
            self._held = more if not left.shape[0] else csr_array(vstack([left, more]))
        start = int(rows[0] - self._first)
        own = self._held[start : start + int(rows[-1] - rows[0]) + 1]
        return own if own.shape[0] == len(rows) else own[rows - rows[0]]


def paired_blocks(
    codes: Activations,
    source: Activations,
    seen: Pass | None = None,
    progress: Progress = no_progress,
    doing: str = "reading",
    span: tuple[float, float] = (0.0, 1.0),
) -> Iterator[tuple[np.ndarray, np.ndarray, csr_array]]:
    """Yield (rows (m,), activations (m, d) float64, codes (m, k)) of the finite rows of `source`, which may be `codes`
    itself. One pass over both."""
    from scipy.sparse import csr_array

    reader = None if source is codes else CodeRows(codes)
    for rows, x in finite_blocks(source, seen, progress, doing, span):
        yield rows, x, csr_array(x) if reader is None else reader.of(rows)


def code_blocks(
    codes: Activations,
    seen: Pass,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Iterator[tuple[np.ndarray, csr_array]]:
    """Yield (rows (m,), codes (m, k)) of the finite rows, of a sparse tap without a dense block."""
    from scipy.sparse import csr_array

    if not hasattr(codes, "sparse_chunks"):
        for rows, x in finite_blocks(codes, seen, progress, "reading codes", span):
            yield rows, csr_array(x)
        return
    total = max(codes.shape[0], 1)
    for first, indptr, units, values in codes.sparse_chunks():
        progress(span[0] + (span[1] - span[0]) * first / total, "reading codes")
        block = csr_array((values, units, indptr), shape=(len(indptr) - 1, codes.shape[1]))
        rows = np.setdiff1d(np.arange(first, first + block.shape[0]), codes.gaps, assume_unique=True)
        seen.n_rows += block.shape[0]
        seen.n_nonfinite += block.shape[0] - len(rows)
        if len(rows):
            seen._count_samples(codes.layout.sample_of(rows))
            yield rows, block if len(rows) == block.shape[0] else block[rows - first]
    progress(span[1], "reading codes")


def together(blocks: list[csr_array]) -> csr_array | np.ndarray:
    """(k, k) in how many rows two features are both not 0; dense where many are."""
    from scipy.sparse import csr_array, vstack

    on = csr_array(vstack(blocks)).astype(np.float32)
    on.data[:] = 1
    if on.nnz > DENSE * on.shape[0] * on.shape[1]:
        dense = on.toarray()
        return dense.T @ dense
    return csr_array(on.T @ on)
