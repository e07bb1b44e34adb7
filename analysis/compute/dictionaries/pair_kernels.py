"""Compiled loops over the features that are active in the same rows, one feature at a time.

Feature i is active in rows[starts[i] : starts[i + 1]]; row r has the features units[indptr[r] : indptr[r + 1]].
Every loop releases the GIL. Numba is imported with this file, so it is imported inside functions.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_FLAGS = {"nogil": True, "cache": True}


@njit(**_FLAGS)
def meetings(starts, rows, indptr, units, first, stop, held, ends, partner, count):
    """Whom the features first … stop - 1 meet, themselves left out, in no order: of feature first + i it is
    partner[ends[i] : ends[i + 1]] with the number of common rows in `count`. `held` (features,) zeros, left so."""
    to = 0
    for i in range(first, stop):
        begin = to
        for e in range(starts[i], starts[i + 1]):
            row = rows[e]
            for f in range(indptr[row], indptr[row + 1]):
                unit = units[f]
                if unit == i:
                    continue
                if held[unit] == 0:
                    partner[to] = unit
                    to += 1
                held[unit] += 1
        for at in range(begin, to):
            count[at] = held[partner[at]]
            held[partner[at]] = 0
        ends[i - first + 1] = to


@njit(**_FLAGS)
def best(ends, partner, count, first, fires, quantile, n, least, units, counts):
    """The partners of every feature of a block with the largest low end of common rows over expected ones, which is
    quantile[count] / fires[partner] for one feature; ties to the lower number. Only partners with `least`
    common rows and more than are expected of `n` rows. `units` (block, many) and `counts`, -1 and 0 where
    there are fewer."""
    many = units.shape[1]
    score = np.empty(many)
    for i in range(ends.size - 1):
        own, size = np.float64(fires[first + i]), 0
        for at in range(ends[i], ends[i + 1]):
            unit, c = partner[at], count[at]
            if c < least or np.float64(c) * n <= own * fires[unit]:
                continue
            s = quantile[c] / fires[unit]
            place = size
            while place > 0 and (
                score[place - 1] < s or (score[place - 1] == s and units[i, place - 1] > unit)
            ):
                place -= 1
            if place >= many:
                continue
            last = min(size, many - 1)
            for k in range(last, place, -1):
                score[k], units[i, k], counts[i, k] = score[k - 1], units[i, k - 1], counts[i, k - 1]
            score[place], units[i, place], counts[i, place] = s, unit, c
            size = min(size + 1, many)
        units[i, size:], counts[i, size:] = -1, 0
