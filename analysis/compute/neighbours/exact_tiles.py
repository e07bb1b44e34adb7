"""Exact neighbours of many points: tile by tile, in the fastest arithmetic there is, and proved afterwards.

Points are rounded (to bfloat16 where the processor multiplies such matrices in tiles, "AMX"; to float32 elsewhere)
and the rounding error |x - x̃| of each is kept. A matrix product of augmented points gives r_i - |x̃_i - ỹ_j|² / 2,
negative where j lies beyond the reach r_i of point i. By the triangle inequality the true distance differs from the
rounded one by at most |x - x̃| + |y - ỹ|, so a pair whose least distance exceeds the k-th smallest greatest distance
is no neighbour. What is left holds all true neighbours; their distances are computed again in float64 from
differences. The answer does not depend on the arithmetic, on the number of threads or on the order of the tiles.
Starts torch and Numba.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.compute.machine import machine
from analysis.spec import Progress

ROWS, COLUMNS = 1024, 2048  # of a tile: about what the second-level cache of one core holds
FAR = 1e37
_one_at_a_time = threading.Lock()


@functools.cache
def has_tiles() -> bool:
    """Whether this processor multiplies bfloat16 matrices in hardware tiles."""
    try:
        return " amx_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


@dataclass(frozen=True)
class _Rounded:
    """Points in search order, rounded: `values` torch (n', d + 2 s), s columns for -|ỹ|²/2 as a sum and s of 1;
    `norms` (n',) of |ỹ|², `errors` (n',) of |y - ỹ|; `unit` the relative spacing of what a product returns.
    `tiles` are ranges of columns whose points have lengths of one kind; n' fills the last of each up."""

    values: object
    norms: np.ndarray
    errors: np.ndarray
    tiles: list[tuple[int, int]]
    parts: int
    unit: float


def _search_order(points: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Search order (n',) of the rows, -1 where a tile is filled up, and the tiles.

    At random, because sorted input would make the first tiles useless; but lengths that differ by more than eight
    times come in tiles of their own, because the longest point of a tile sets its error."""
    lengths = np.sqrt(np.einsum("ij,ij->i", points, points))
    kind = np.floor(np.log2(np.maximum(lengths, 1e-300)) / 3)
    kind = np.maximum(kind, kind.max() - 6)  # below a millionth of the longest all are alike
    order, tiles, filled = [], [], 0
    shuffled = np.random.default_rng(20210401).permutation(len(points))
    kinds, counts = np.unique(kind, return_counts=True)
    for value in kinds[np.argsort(-counts, kind="stable")]:
        mine = shuffled[kind[shuffled] == value]
        order += [mine, np.full(-len(mine) % 128, -1)]
        size = len(mine) + len(order[-1])
        tiles += [(filled + a, filled + min(a + COLUMNS, size)) for a in range(0, size, COLUMNS)]
        filled += size
    return np.concatenate(order), tiles


def _rounded(points: np.ndarray, order: np.ndarray, tiles, narrow: bool, pool) -> _Rounded:
    import torch

    dtype, parts = (torch.bfloat16, 3) if narrow else (torch.float32, 2)
    n, d = len(order), points.shape[1]
    values = torch.zeros((n, d + 2 * parts), dtype=dtype)
    norms, errors = np.zeros(n), np.zeros(n)

    def part_from(start: int) -> None:
        torch.set_num_threads(1)  # of this thread
        span = slice(start, start + 4096)
        part = points[order[span]]
        part[order[span] < 0] = 0.0
        low = torch.from_numpy(part).to(dtype)
        back = low.double().numpy()
        values[span, :d] = low
        norms[span] = np.einsum("ij,ij->i", back, back)
        part -= back
        errors[span] = np.sqrt(np.einsum("ij,ij->i", part, part))

    list(pool.map(part_from, range(0, n, 4096)))
    values[:, d : d + parts] = _split(-norms / 2, dtype, parts)
    values[torch.from_numpy(order < 0), d] = -FAR
    values[:, d + parts :] = 1
    return _Rounded(values, norms, errors * (1 + 1e-9), tiles, parts, 2.0**-8 if narrow else 2.0**-23)


def _split(numbers: np.ndarray, dtype, parts: int):
    """Numbers as a sum of `parts` rounded ones, torch (n, parts)."""
    import torch

    left = torch.from_numpy(np.ascontiguousarray(numbers))
    columns = []
    for _ in range(parts):
        columns.append(left.to(dtype))
        left = left - columns[-1].double()
    return torch.stack(columns, dim=1)


def tiled_nearest(
    points: np.ndarray,
    k: int,
    progress: Progress,
    span: tuple[float, float],
    rows: np.ndarray | None = None,
    narrow: bool | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices (n, k) int64, squared distances (n, k) float64 and the rows (u,) that have to be done otherwise.

    points : (n, d) finite float64, n > k. rows : only these are asked for (the others' answers are undefined).
    narrow : bfloat16 (default: where the hardware has it). Rows are left to another search when thousands of
    points are as near as the k-th, such as exact duplicates.
    Time O(n² d) in matrix products of the processor's fastest kind; memory O(n d + n k).
    """
    n = len(points)
    order, tiles = _search_order(points)
    indices, squares = np.empty((n, k), np.int64), np.empty((n, k))
    wanted = np.flatnonzero(order >= 0 if rows is None else np.isin(order, rows))
    cores = machine().cores
    height = max(64, min(ROWS, len(wanted) // (8 * cores)))  # enough blocks for all cores to end together
    blocks = [wanted[i : i + height] for i in range(0, len(wanted), height)]
    done, unsure = 0, []
    with _one_at_a_time, _single_threaded(), ThreadPoolExecutor(cores) as pool:
        rounded = _rounded(points, order, tiles, has_tiles() if narrow is None else narrow, pool)
        jobs = [pool.submit(_block, points, order, rounded, block, indices, squares) for block in blocks]
        try:
            for job in jobs:
                unsure.append(job.result())
                done += 1
                progress(span[0] + (span[1] - span[0]) * done / len(blocks), "finding neighbours")
        except BaseException:
            for job in jobs:
                job.cancel()
            raise
    return indices, squares, np.sort(np.concatenate(unsure)) if unsure else np.empty(0, np.int64)


def _block(points, order, rounded: _Rounded, rows: np.ndarray, indices, squares) -> np.ndarray:
    """Neighbours of one block of rows (positions in the search); the rows of `points` that did not work out."""
    import torch

    from analysis.compute.neighbours import tile_kernels as kernels

    torch.set_num_threads(1)  # of this thread: each of our threads has a tile of its own
    k, m, parts = indices.shape[1], len(rows), rounded.parts
    dtype = rounded.values.dtype
    d = rounded.values.shape[1] - 2 * parts
    mine = rounded.values[torch.from_numpy(rows)]
    mine[:, d : d + parts] = 1
    own, norms = rounded.errors[rows], rounded.norms[rows]
    room = min(len(points), 8 * k + 192)
    heaps = np.full((m, k), np.inf)
    ids, lows = np.empty((m, room), np.int32), np.empty((m, room))
    counts = np.zeros(m, np.int64)
    out = torch.empty(m * COLUMNS, dtype=dtype)
    for turn, (first, last) in enumerate([rounded.tiles[0], *rounded.tiles]):
        largest = float(rounded.norms[first:last].max())
        slack = (d + 32) * 2.0**-22 * (norms + largest)
        errors = own + rounded.errors[first:last].max()
        reach = (heaps[:, 0] + errors) ** 2 / 2 + 3 * slack
        offset = np.where(np.isfinite(reach), reach, norms + 2 * largest + 1e-30) if turn else np.zeros(m)
        offset = offset.astype(np.float32).astype(np.float64)
        mine[:, d + parts :] = _split(offset - norms / 2, dtype, parts)
        tile = out[: m * (last - first)].view(m, last - first)
        torch.mm(mine, rounded.values[first:last].T, out=tile)
        bits = tile.view(torch.int16 if dtype == torch.bfloat16 else torch.int32).numpy()
        if turn == 0:
            kernels.start_heaps(bits, first, order, rows, slack, errors, rounded.unit, heaps)
            heaps[:] = heaps.max(axis=1, keepdims=True)  # met again below: nothing may count twice
        else:
            kernels.take_passing(
                bits, first, order, rows, offset, slack, errors, rounded.unit, heaps, ids, lows, counts
            )
    kernels.rank_exactly(points, order, rows, heaps, ids, lows, counts, indices, squares)
    return order[rows[counts == kernels.FULL]]


@contextlib.contextmanager
def _single_threaded():
    """Matrix products of this process's new threads run in one thread each; afterwards all is as before."""
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
