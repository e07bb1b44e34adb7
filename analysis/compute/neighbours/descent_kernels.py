"""Compiled inner loops of the approximate neighbour search: random-projection trees, then neighbour descent.

Imports Numba. A loop over leaves or rows writes only to its own rows and reads lists that nobody changes meanwhile,
so the answer is the same for any number of threads; threads come from outside, the loops release the GIL.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_FLAGS = {"nogil": True, "cache": True}
_STEP = np.uint64(0x9E3779B97F4A7C15)
NOBODY = np.int32(-1)


@njit(**_FLAGS)
def _mixed(x):
    x = np.uint64(x) + _STEP
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(**_FLAGS)
def _below(state, n):
    return np.int64(((state >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@njit(fastmath=True, **_FLAGS)
def _apart(a, b, most):
    """Squared distance in float32; given up, as infinity, once it exceeds `most`."""
    total, t, d = np.float32(0), 0, a.size
    while t < d:
        part = np.float32(0)
        for u in range(t, min(t + 64, d)):
            away = a[u] - b[u]
            part += away * away
        total += part
        t += 64
        if total > most:
            return np.float32(3e38)
    return total


@njit(fastmath=True, **_FLAGS)
def _side(x, a, b):
    """Positive where x is nearer to a than to b."""
    total = np.float32(0)
    for t in range(x.size):
        total += (a[t] - b[t]) * (x[t] - np.float32(0.5) * (a[t] + b[t]))
    return total


@njit(**_FLAGS)
def grow_tree(points, seed, leaf, order, edges):
    """Split the points by the plane between two of them, again and again, down to `leaf` points.

    Fills order (n,) with the points leaf by leaf and edges with where the leaves start; returns their number."""
    n = len(points)
    for i in range(n):
        order[i] = i
    stack = np.empty((4096, 2), np.int64)
    stack[0, 0], stack[0, 1] = 0, n
    depth, leaves, state = 1, 0, _mixed(np.uint64(seed))
    while depth > 0:
        depth -= 1
        a, b = stack[depth, 0], stack[depth, 1]
        if b - a <= leaf or depth > 4090:
            edges[leaves] = a
            leaves += 1
            continue
        state = _mixed(state)
        p = order[a + _below(state, b - a)]
        state = _mixed(state)
        q = order[a + _below(state, b - a)]
        left, right = a, b - 1
        while left <= right:
            side = _side(points[order[left]], points[p], points[q]) if p != q else np.float32(0)
            if side > 0:
                left += 1
            else:
                order[left], order[right] = order[right], order[left]
                right -= 1
        if left in (a, b):  # nothing to tell these points apart: cut in the middle
            left = (a + b) // 2
        stack[depth, 0], stack[depth, 1] = left, b
        stack[depth + 1, 0], stack[depth + 1, 1] = a, left
        depth += 2
    edges[leaves] = n
    return leaves


@njit(**_FLAGS)
def _enter(ids, squares, fresh, j, square):
    """Put j into a list that rises by distance unless it is there or too far; whether it went in."""
    k = ids.size
    if square >= squares[k - 1]:
        return 0
    for s in range(k):
        if ids[s] == j:
            return 0
    s = k - 1
    while s > 0 and squares[s - 1] > square:
        ids[s], squares[s], fresh[s] = ids[s - 1], squares[s - 1], fresh[s - 1]
        s -= 1
    ids[s], squares[s], fresh[s] = j, square, 1
    return 1


@njit(**_FLAGS)
def join_leaves(points, order, edges, ids, squares, fresh, start, stop):
    """Compare all points of each leaf start … stop with each other."""
    for leaf in range(start, stop):
        for u in range(edges[leaf], edges[leaf + 1]):
            i = order[u]
            last = ids.shape[1] - 1
            for v in range(u + 1, edges[leaf + 1]):
                j = order[v]
                square = _apart(points[i], points[j], max(squares[i, last], squares[j, last]))
                _enter(ids[i], squares[i], fresh[i], j, square)
                _enter(ids[j], squares[j], fresh[j], i, square)


@njit(**_FLAGS)
def _offer(line, keys, j, key):
    """Keep the smallest keys, rising."""
    last = line.size - 1
    if key >= keys[last]:
        return
    for s in range(line.size):
        if line[s] == j:
            return
    s = last
    while s > 0 and keys[s - 1] > key:
        line[s], keys[s] = line[s - 1], keys[s - 1]
        s -= 1
    line[s], keys[s] = j, key


@njit(**_FLAGS)
def choose_candidates(ids, fresh, seed, new, new_keys, old, old_keys, start, stop):
    """A seeded sample of the neighbours of rows start … stop and of the points they are neighbours of.

    new, old : (n, c) filled with those found in the last round and with the others. A row's list is its own: every
    thread reads all links and keeps those that touch its rows."""
    n, k = ids.shape
    for i in range(start, stop):
        new[i], old[i] = NOBODY, NOBODY
        new_keys[i], old_keys[i] = np.inf, np.inf
    for i in range(n):
        inside = start <= i < stop
        for s in range(k):
            j = ids[i, s]
            if j < 0 or not (inside or start <= j < stop):
                continue
            drawn = _mixed(np.uint64(seed) ^ _mixed(np.uint64(i) * np.uint64(n) + np.uint64(j)))
            key = np.float64(drawn >> np.uint64(11))
            if inside:
                if fresh[i, s]:
                    _offer(new[i], new_keys[i], j, key)
                else:
                    _offer(old[i], old_keys[i], j, key)
            if start <= j < stop:
                if fresh[i, s]:
                    _offer(new[j], new_keys[j], i, key)
                else:
                    _offer(old[j], old_keys[j], i, key)


@njit(**_FLAGS)
def grow_old(ids, fresh, new, start, stop):
    """What was chosen as new is old from now on."""
    for i in range(start, stop):
        for s in range(ids.shape[1]):
            if fresh[i, s]:
                for c in range(new.shape[1]):
                    if new[i, c] == ids[i, s]:
                        fresh[i, s] = 0


@njit(**_FLAGS)
def descend(points, new, old, ids, squares, fresh, changed, start, stop):
    """Compare each point with its candidates' candidates, unless both links are old; counts what went in."""
    stamp = np.full(len(points), NOBODY, np.int32)
    last, width = ids.shape[1] - 1, new.shape[1]
    for i in range(start, stop):
        stamp[i] = i
        for s in range(last + 1):
            if ids[i, s] >= 0:
                stamp[ids[i, s]] = i
        changed[i] = 0
        for kind in range(2):
            for c in range(width):
                middle = new[i, c] if kind == 0 else old[i, c]
                if middle < 0:
                    break
                for further in range(2 if kind == 0 else 1):
                    for e in range(width):
                        j = new[middle, e] if further == 0 else old[middle, e]
                        if j < 0:
                            break
                        if stamp[j] == i:
                            continue
                        stamp[j] = i
                        square = _apart(points[i], points[j], squares[i, last])
                        changed[i] += _enter(ids[i], squares[i], fresh[i], j, square)
