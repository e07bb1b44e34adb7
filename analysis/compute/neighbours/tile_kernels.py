"""Compiled inner loops of the exact neighbour search: which pairs of a tile of scores can still be neighbours, and
the exact distances of those that can. Imports Numba; the loops release the GIL and threads come from outside.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_FLAGS = {"nogil": True, "cache": True}
RUN = 128  # columns looked at together
FULL = -1  # a row whose candidates did not fit


@njit(**_FLAGS)
def _sift(heap, value):
    """Replace the largest of a max-heap by `value`."""
    k, i = heap.size, 0
    while True:
        child = 2 * i + 1
        if child >= k:
            break
        if child + 1 < k and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= value:
            break
        heap[i] = heap[child]
        i = child
    heap[i] = value


@njit(**_FLAGS)
def _pack(ids, lows, n, most):
    """Keep the candidates whose lower bound is at most `most`; how many."""
    kept = 0
    for c in range(n):
        if lows[c] <= most:
            ids[kept] = ids[c]
            lows[kept] = lows[c]
            kept += 1
    return kept


@njit(**_FLAGS)
def _decode(bits, narrow, scratch, value):
    scratch[0] = np.int32(bits) << np.int32(16) if narrow else np.int32(bits)
    return np.float64(value[0])


@njit(**_FLAGS)
def _at_least(half, off, errors):
    """Least true distance of two points whose rounded half squared distance is `half`, give or take `off`."""
    return np.sqrt(max(2.0 * (half - off), 0.0)) - errors


@njit(**_FLAGS)
def _at_most(half, off, errors):
    return np.sqrt(max(2.0 * (half + off), 0.0)) + errors


@njit(**_FLAGS)
def take_passing(tile, first, order, rows, offset, slack, errors, relative, heaps, ids, lows, counts):
    """Read one tile of `offset` - D²/2 (bits of bfloat16 or float32, sign set where a pair is too far apart).

    tile : (m, t) int16 or int32 bits, t a multiple of RUN; column c is position first + c; rows (m,) are the positions
    of the tile's rows; order : position in the search -> point, -1 where there is none.
    offset, slack, errors : (m,) offset of the row, what summation may be off by, rounding errors of both points.
    heaps : (m, k) max-heaps of greatest distances; ids, lows, counts : candidates with their least distances,
    FULL when too many.
    """
    narrow = tile.itemsize == 2
    scratch = np.zeros(1, np.int32)
    value = scratch.view(np.float32)
    m, width = tile.shape
    words, per = tile.view(np.int64), 8 // tile.itemsize
    signs = np.int64(-0x7FFF7FFF7FFF8000) if narrow else np.int64(-0x7FFFFFFF80000000)
    room = ids.shape[1]
    for i in range(m):
        if counts[i] == FULL:
            continue
        line, n = tile[i], counts[i]
        for start in range(0, width, RUN):
            together = words[i, start // per]
            for w in range(start // per, (start + RUN) // per):
                together &= words[i, w]
            if together & signs == signs:  # nothing in this run is near enough
                continue
            for c in range(start, start + RUN):
                if line[c] < 0 or first + c == rows[i] or order[first + c] < 0:
                    continue
                over = _decode(line[c], narrow, scratch, value)
                half, off = offset[i] - over, relative * over + slack[i]
                low = _at_least(half, off, errors[i])
                if low > heaps[i, 0]:
                    continue
                if n == room:
                    n = _pack(ids[i], lows[i], n, heaps[i, 0])
                    if n > room - room // 8:
                        n = FULL
                        break
                ids[i, n], lows[i, n] = first + c, low
                n += 1
                high = _at_most(half, off, errors[i])
                if high < heaps[i, 0]:
                    _sift(heaps[i], high)
            if n == FULL:
                break
        counts[i] = n


@njit(**_FLAGS)
def start_heaps(tile, first, order, rows, slack, errors, relative, heaps):
    """Fill the heaps from a tile whose offsets were 0: greatest distances of its columns."""
    narrow = tile.itemsize == 2
    scratch = np.zeros(1, np.int32)
    value = scratch.view(np.float32)
    for i in range(tile.shape[0]):
        limit = np.inf  # of half + off: _at_most of more would not enter the heap
        for c in range(tile.shape[1]):
            half = -_decode(tile[i, c], narrow, scratch, value)
            off = relative * half + slack[i]
            if half + off > limit or first + c == rows[i] or order[first + c] < 0:
                continue
            high = _at_most(half, off, errors[i])
            if high < heaps[i, 0]:
                _sift(heaps[i], high)
                if heaps[i, 0] < np.inf:
                    limit = max(heaps[i, 0] - errors[i], 0.0) ** 2 / 2


@njit(**_FLAGS)
def squared_distance(a, b, most):
    """Σ (a - b)² in float64 and in a fixed order of summation; infinite as soon as it is known to exceed `most`."""
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    d = a.size
    whole = d - d % 4
    for t in range(0, whole, 4):
        if t % 64 == 0 and (s0 + s1) + (s2 + s3) > most:
            return np.inf
        d0, d1 = np.float64(a[t]) - b[t], np.float64(a[t + 1]) - b[t + 1]
        d2, d3 = np.float64(a[t + 2]) - b[t + 2], np.float64(a[t + 3]) - b[t + 3]
        s0 += d0 * d0
        s1 += d1 * d1
        s2 += d2 * d2
        s3 += d3 * d3
    for t in range(whole, d):
        d0 = np.float64(a[t]) - b[t]
        s0 += d0 * d0
    return (s0 + s1) + (s2 + s3)


@njit(**_FLAGS)
def insert(squares, ids, n, square, id):
    """Put a pair into a list that rises by (square, id) and holds at most squares.size; the new length."""
    if n == squares.size and (square > squares[n - 1] or (square == squares[n - 1] and id > ids[n - 1])):
        return n
    k = n if n < squares.size else n - 1
    while k > 0 and (squares[k - 1] > square or (squares[k - 1] == square and ids[k - 1] > id)):
        squares[k], ids[k] = squares[k - 1], ids[k - 1]
        k -= 1
    squares[k], ids[k] = square, id
    return min(n + 1, squares.size)


@njit(**_FLAGS)
def rank_exactly(points, order, rows, heaps, ids, lows, counts, indices, squares):
    """The k nearest of the candidates by exact distance; ties to the lower index.

    order : position in the search -> row of `points` and of the answer."""
    k = indices.shape[1]
    for i in range(rows.size):
        if counts[i] == FULL:
            continue
        mine, found = order[rows[i]], 0
        for c in range(counts[i]):
            if lows[i, c] <= heaps[i, 0]:
                them = order[ids[i, c]]
                kth = squares[mine, k - 1] if found == k else np.inf
                square = squared_distance(points[mine], points[them], kth)
                if square < np.inf:
                    found = insert(squares[mine], indices[mine], found, square, them)
        if found < k:
            counts[i] = FULL
