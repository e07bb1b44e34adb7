"""Compiled loops over the entries of a sparse tap, unit by unit: moments, order statistics, strongest rows, sketch.

Entries of unit u are starts[u] … starts[u + 1] of `rows` (rising) and `values`; all other rows are 0. Nothing is
sorted: of most units nearly every quantile is one of the zeros. Imported by the writing side only
(Numba); every loop releases the GIL and threads come from outside, as in `analysis.store.kernels`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_FLAGS = {"nogil": True, "cache": True}


@njit(**_FLAGS)
def turned(indptr, units, values, place, rows, out):
    """Entries in row order to `rows` and `out` in the order of units; `place` (units,): where each unit begins, moved
    on as they are written."""
    for i in range(indptr.size - 1):
        for e in range(indptr[i], indptr[i + 1]):
            to = place[units[e]]
            rows[to], out[to] = i, values[e]
            place[units[e]] = to + 1


@njit(**_FLAGS)
def moments(starts, values, n, out, low, high, below, first, stop):
    """Mean and sums of the 2nd, 3rd, 4th power about it of n rows, zeros among them: `out` (units, 4). Smallest and
    largest value, 0 among them where a row is silent; how many are below 0."""
    for u in range(first, stop):
        a, b = starts[u], starts[u + 1]
        zeros, total, negative = n - (b - a), 0.0, 0
        least, most = (0.0, 0.0) if zeros > 0 or a == b else (np.inf, -np.inf)
        for i in range(a, b):
            v = np.float64(values[i])
            total += v
            negative += v < 0
            least, most = min(least, v), max(most, v)
        mean = total / n if n else np.nan
        m2, m3, m4 = zeros * mean**2, -zeros * mean**3, zeros * mean**4
        for i in range(a, b):
            away = values[i] - mean
            square = away * away
            m2, m3, m4 = m2 + square, m3 + square * away, m4 + square * square
        out[u, 0], out[u, 1], out[u, 2], out[u, 3] = mean, m2, m3, m4
        low[u], high[u], below[u] = least, most, negative


@njit(**_FLAGS)
def ranked(starts, values, below, n, ranks, out, first, stop):
    """`out` (units, ranks): the rank-th smallest (from 1) of the n rows of each unit."""
    for u in range(first, stop):
        own = values[starts[u] : starts[u + 1]]
        zeros = n - own.size
        for q in range(ranks.size):
            rank = ranks[q]
            if below[u] < rank <= below[u] + zeros or own.size == 0:
                out[u, q] = 0.0
                continue
            place = rank - 1 if rank <= below[u] else rank - 1 - zeros
            out[u, q] = np.partition(own, place)[place]


@njit(**_FLAGS)
def strongest_entries(starts, values, many, out, at, first, stop):
    """The `many` largest entries of each unit, ties to the lower row, in no order: values `out` and places `at` (units,
    many); -inf and -1 where there are fewer."""
    for u in range(first, stop):
        a, b = starts[u], starts[u + 1]
        least, ties = np.float32(-np.inf), b - a
        if b - a > many:
            own = values[a:b]
            least = np.partition(own, own.size - many)[own.size - many]
            ties = many
            for v in own:
                ties -= v > least
        k = 0
        for i in range(a, b):
            tied = values[i] == least and ties > 0
            if values[i] > least or tied:
                ties -= tied
                out[u, k], at[u, k] = values[i], i
                k += 1
        out[u, k:], at[u, k:] = -np.inf, -1


@njit(**_FLAGS)
def sketched(starts, rows, values, sample_of, tokens, sign, sums, totals, first, stop):
    """Signed sums of samples' means into the buckets of `sums` (units, buckets), and their `totals` (units,)."""
    buckets = sums.shape[1]
    for u in range(first, stop):
        for i in range(starts[u], starts[u + 1]):
            sample = sample_of[rows[i]]
            weight = np.float64(values[i]) / tokens[sample]
            sums[u, sample % buckets] += weight * sign[sample]
            totals[u] += weight
