"""In which rows features are active together: counts of pairs, what chance gives, and rows drawn anew."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.activations import Activations
from analysis.compute.dictionaries.sparse_codes import code_blocks, together
from analysis.compute.streaming import Pass
from analysis.spec import Progress


def active_rows(
    taps: Sequence[Activations], most: int, rng: np.random.Generator, seen: Pass, progress: Progress, span
):
    """(rows, all features) sparse float32, 1 where a feature is not 0, of at most about `most` rows drawn at random
    that are finite in every tap; taps have the same rows."""
    from scipy.sparse import csr_array, hstack, vstack

    n = taps[0].shape[0]
    drawn, sides, finite = rng.random(n) < most / max(n, 1), [], np.ones(n, bool)
    for i, tap in enumerate(taps):
        parts, own = [], []
        step = (span[1] - span[0]) / len(taps)
        for rows, block in code_blocks(tap, seen, progress, (span[0] + i * step, span[0] + (i + 1) * step)):
            pick = csr_array(block[np.flatnonzero(drawn[rows])])
            pick.eliminate_zeros()
            parts.append(
                csr_array((np.ones(pick.nnz, np.float32), pick.indices, pick.indptr), shape=pick.shape)
            )
            own.append(rows[drawn[rows]])
        own = np.concatenate(own) if own else np.zeros(0, np.int64)
        sides.append((own, csr_array(vstack(parts)) if parts else csr_array((0, tap.shape[1]))))
        finite &= np.isin(np.arange(n), own)
    if len(sides) == 1:
        return sides[0][1]
    return csr_array(hstack([on[np.flatnonzero(finite[rows])] for rows, on in sides]))


def moved_rows(on, rng: np.random.Generator):
    """Every feature active in as many rows, drawn anew."""
    from scipy.sparse import csr_array

    columns = on.tocsc()
    for start, stop in zip(columns.indptr[:-1], columns.indptr[1:], strict=True):
        columns.indices[start:stop] = np.sort(rng.choice(on.shape[0], stop - start, replace=False))
    return csr_array(columns)


def pairs(on) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First and second feature of every pair that meets, both ways, first rising, and in how many rows."""
    counts = together([on])
    if hasattr(counts, "tocoo"):
        grid = counts.tocoo()
        first, second, value = *grid.coords, grid.data
    else:
        first, second = np.nonzero(counts)
        value = counts[first, second]
    other = first != second
    first, second, value = first[other], second[other], np.round(value[other]).astype(np.int64)
    order = np.lexsort((second, first))
    return first[order], second[order], value[order]


def log_ratio(count: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log of `count` (p,) > 0 over `expected` (p,), and its 95 % interval for a Poisson count."""
    from scipy.special import gammaincinv

    low, high = gammaincinv(count, 0.025), gammaincinv(count + 1, 0.975)
    return np.log(count / expected), np.log(low / expected), np.log(high / expected)
