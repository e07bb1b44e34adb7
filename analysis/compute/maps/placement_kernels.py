"""Compiled inner loop of the map's quality: ranks of the points shown, known from a graph or counted on references.

Imports Numba; the loop releases the GIL and threads come from outside.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_FLAGS = {"nogil": True, "cache": True}


@njit(fastmath=True, **_FLAGS)
def _square(points, i, j):
    total = np.float32(0)
    for c in range(points.shape[1]):
        difference = points[i, c] - points[j, c]
        total += difference * difference
    return total


@njit(**_FLAGS)
def _count(squares, limit, hits):
    for a in range(squares.size):
        hits[a] += np.int32(squares[a] < limit)


@njit(**_FLAGS)
def _moments(squares, radius, hits):
    """How many references lie beyond the graph, and sum and sum of squares of their hits."""
    m, total, square = 0, 0, 0
    for a in range(squares.size):
        beyond = np.int64(squares[a] > radius)
        h = np.int64(hits[a]) * beyond
        m += beyond
        total += h
        square += h * h
    return m, total, square


@njit(**_FLAGS)
def rank_penalties(
    points, shown, known, radius, squares, first, place, ks, penalty, error, inside, sums, start, stop
):
    """Rows first + start … first + stop: Σ max(0, rank - k) over the k first `shown` points, for every k.

    points (n, d) float32; shown (n, >= k) and known (n, K) neighbours; radius (n,) the squared distance of
    the K-th known; squares (rows, m) to the references, overwritten; place (n,) of a point among the references or -1.
    Out: penalty, error (one standard error) and inside (how many shown points are among the k first known), each
    (n, len(ks)); sums (len(ks), m) += hits of every reference.
    """
    n, k_known, m = len(points), known.shape[1], squares.shape[1]
    beyond = n - 1 - k_known
    hits, ranks = np.empty(m, np.int32), np.zeros(ks[-1], np.int64)
    rank_of = np.zeros(n, np.int32)
    for i in range(first + start, first + stop):
        own = squares[i - first]
        if place[i] >= 0:
            own[place[i]] = np.float32(-1)
        hits[:] = 0
        outside, done = 0, 0
        for a in range(k_known):
            rank_of[known[i, a]] = a + 1
        for t in range(ks.size):
            k = ks[t]
            for a in range(done, k):
                j = shown[i, a]
                ranks[a] = rank_of[j]
                if ranks[a] == 0:
                    outside += 1
                    limit = max(_square(points, i, j), radius[i])
                    _count(own, limit, hits)
                    if place[j] >= 0 and own[place[j]] < limit:  # rounding: no point is nearer than itself
                        hits[place[j]] -= 1
            done = k
            total = outside * (k_known + 1.0 - k)
            for a in range(k):
                total += max(0, ranks[a] - k)
                inside[i, t] += 0 < ranks[a] <= k
            count, seen, seen_square = _moments(own, radius[i], hits)
            if count > 1 and outside > 0:
                weight = beyond / count
                total += weight * seen
                spread = max(0.0, seen_square - seen * (seen / count)) / (count - 1)
                error[i, t] = weight * np.sqrt(spread * count * max(0.0, 1 - count / beyond))
            penalty[i, t] = total
            for a in range(m):
                if own[a] > radius[i]:
                    sums[t, a] += hits[a]
        for a in range(k_known):
            rank_of[known[i, a]] = 0
