"""Codes as the condition of scattered codes takes them: none below 0, each feature scaled to a largest value of 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.activations import Activations
from analysis.compute.dictionaries.sparse_codes import code_blocks
from analysis.compute.streaming import Pass
from analysis.spec import Progress, no_progress

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def scaled_codes(
    tap: Activations,
    threshold: float,
    maximum_rows: int,
    rng: np.random.Generator,
    seen: Pass,
    progress: Progress = no_progress,
) -> tuple[csr_array, int, int]:
    """(codes, negative, n): codes (rows, features) of a random `maximum_rows` or fewer, below `threshold` 0; how many
    of them were negative; finite rows of the tap."""
    from scipy.sparse import csr_array, vstack

    blocks, negative, n = [], 0, 0
    drawn = rng.random(tap.layout.n_rows) < maximum_rows / max(tap.layout.n_rows, 1)
    for rows, block in code_blocks(tap, seen, progress, (0.0, 1.0)):
        n += len(rows)
        c = csr_array(block[np.flatnonzero(drawn[rows])]).astype(np.float64)
        negative += int((c.data < 0).sum())
        c.data[c.data < 0] = 0
        blocks.append(c)
    h = csr_array(vstack(blocks)) if blocks else csr_array((0, tap.shape[1]))
    largest = np.zeros(tap.shape[1])
    np.maximum.at(largest, h.indices, h.data)
    h.data /= np.where(largest > 0, largest, 1)[h.indices]
    h.data[h.data < threshold] = 0
    h.eliminate_zeros()
    return h, negative, n


def moved_codes(h: csr_array, rng: np.random.Generator) -> csr_array:
    """The codes of every feature in rows drawn anew."""
    from scipy.sparse import csr_array

    columns = h.tocsc()
    for start, stop in zip(columns.indptr[:-1], columns.indptr[1:], strict=True):
        columns.indices[start:stop] = np.sort(rng.choice(h.shape[0], stop - start, replace=False))
    return csr_array(columns)
