"""Which products of a row are codes: compiled loops over a block, straight to a list of what is not 0.

The results are those of `analysis.features.rules`, bit by bit; here no dense block of codes is made and looked through
again, so that choosing costs a few per cent of the product that it chooses from. Imported where something is encoded
(it imports Numba); every loop releases the GIL and threads come from outside, as in `analysis.store.kernels`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

RUN = 64  # products looked at together
THREADS, FEW = 2, 16  # rows from which threads are started
_FLAGS = {"nogil": True, "cache": True}


@njit(fastmath=True, **_FLAGS)
def _largest_of_runs(products, bias, out):
    for r in range(out.size):
        start = r * RUN
        found = products[start] + bias[start]
        for j in range(start + 1, min(start + RUN, products.size)):
            found = max(found, products[j] + bias[j])
        out[r] = found


@njit(**_FLAGS)
def _keep(units, values, n, k):
    """The k largest of n candidates to the front, in their order; of a tie the lower units."""
    least = np.partition(values[:n], n - k)[n - k]
    over = 0
    for i in range(n):
        over += values[i] > least
    ties, to = k - over, 0
    for i in range(n):
        v = values[i]
        tied = v == least and ties > 0
        if v > least or tied:
            ties -= tied
            units[to], values[to] = units[i], v
            to += 1


@njit(**_FLAGS)
def largest(products, bias, k, counts, units, values, first, stop):
    """Rows first … stop - 1: those of products + bias (m,) that are above 0 and among the k largest of their row, in
    `counts` (n,) and, unit by unit, in the first places of `units` and `values` (n, k).

    The k-th largest of the runs' largest products is at most the k-th largest of all: few runs are looked through.
    """
    m = products.shape[1]
    runs = np.empty((m + RUN - 1) // RUN, np.float32)
    held, sizes = np.empty(m, np.int32), np.empty(m, np.float32)
    for i in range(first, stop):
        row, n, least = products[i], 0, np.float32(0)
        _largest_of_runs(row, bias, runs)
        if k < runs.size:
            least = max(least, np.partition(runs, runs.size - k)[runs.size - k])
        for r in range(runs.size):
            if runs[r] < least:
                continue
            for j in range(r * RUN, min(r * RUN + RUN, m)):
                v = row[j] + bias[j]
                if v >= least and v > 0:
                    held[n], sizes[n] = j, v
                    n += 1
        if n > k:
            _keep(held, sizes, n, k)
            n = k
        counts[i] = n
        units[i, :n], values[i, :n] = held[:n], sizes[:n]


@njit(**_FLAGS)
def count_above(products, bias, threshold, counts, first, stop):
    """`counts` (n,): how many of products + bias (m,) are above `threshold` (m,) in each of the rows."""
    for i in range(first, stop):
        row, n = products[i], np.int32(0)
        for j in range(row.size):
            n += np.int32(row[j] + bias[j] > threshold[j])
        counts[i] = n


@njit(**_FLAGS)
def above(products, bias, threshold, starts, units, values, first, stop):
    """These, row after row: of row i from place starts[i] of `units` and `values` on."""
    m = products.shape[1]
    for i in range(first, stop):
        row, to = products[i], starts[i]
        for start in range(0, m, RUN):
            end, some = min(start + RUN, m), False
            for j in range(start, end):
                some |= row[j] + bias[j] > threshold[j]
            if not some:
                continue
            for j in range(start, end):
                v = row[j] + bias[j]
                if v > threshold[j]:
                    units[to], values[to] = j, v
                    to += 1


# ---------------------------------------------------------------------- of a whole block, in threads
def largest_codes(products, bias, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(counts (n,), units, values) of the codes that `rules.keep_largest(products + bias, k)` leaves, row by row and
    units rising. O(n m), no array of that size is made."""
    n, k = len(products), min(k, products.shape[1])
    counts, units, values = np.zeros(n, np.int64), np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    _in_threads(lambda a, b: largest(products, bias, k, counts, units, values, a, b), n)
    if n and counts.min() == k:
        return counts, units.ravel(), values.ravel()
    there = np.arange(k) < counts[:, None]
    return counts, units[there], values[there]


def codes_above(products, bias, threshold) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same of those that are above `threshold` (m,), which is 0 or more."""
    n = len(products)
    counts = np.zeros(n, np.int64)
    _in_threads(lambda a, b: count_above(products, bias, threshold, counts, a, b), n)
    starts = np.cumsum(counts) - counts
    units, values = np.empty(counts.sum(), np.int32), np.empty(counts.sum(), np.float32)
    _in_threads(lambda a, b: above(products, bias, threshold, starts, units, values, a, b), n)
    return counts, units, values


def _in_threads(part, n: int) -> None:
    """part(first, stop) over n rows."""
    step = -(-n // THREADS)
    if n < FEW:
        part(0, n)
        return
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda start: part(start, min(start + step, n)), range(0, n, step)))
