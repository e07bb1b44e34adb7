"""Compiled inner loops of PaCMAP and LocalMAP: choosing pairs of points, and one step of the descent.

Imports Numba. Every loop over rows start … stop writes to those rows only and draws from a hash of (seed, row), so
the answer is the same for any number of threads; threads come from outside, the loops release the GIL.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_FLAGS = {"nogil": True, "cache": True}
# no check for a division by zero (d >= 1), and indices without a sign (Numba looks for negative ones): both keep the
# compiler from working on several pairs at a time
_FORCES = {"fastmath": True, "error_model": "numpy", **_FLAGS}
_STEP = np.uint64(0x9E3779B97F4A7C15)


@njit(**_FLAGS)
def mixed(x):
    """A 64-bit hash (the finaliser of SplitMix64)."""
    x = np.uint64(x) + _STEP
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(**_FLAGS)
def below(state, n):
    """A whole number from 0 to n - 1 made of a hash."""
    return np.int64(((state >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@njit(**_FLAGS)
def _holds(line, n, value):
    found = False
    for i in range(n):
        found |= line[i] == value
    return found


@njit(fastmath=True, **_FLAGS)
def _apart(a, b):
    total = np.float32(0)
    for t in range(a.size):
        d = a[t] - b[t]
        total += d * d
    return total


@njit(**_FLAGS)
def choose_middle(points, seed, out, start, stop):
    """Mid-near pairs: the second nearest of six points drawn at random, for each slot of `out` (n, slots)."""
    n = len(points)
    drawn = np.empty(6, np.int64)
    for i in range(start, stop):
        state = mixed(np.uint64(seed) ^ mixed(np.uint64(i)))
        for slot in range(out.shape[1]):
            first, second, best, chosen = np.inf, np.inf, -1, -1
            count = 0
            while count < 6:
                state = mixed(state)
                j = below(state, n)
                if j == i or (n > 6 and _holds(drawn, count, j)):
                    continue
                drawn[count] = j
                count += 1
                away = _apart(points[i], points[j])
                if away < first:
                    second, chosen, first, best = first, best, away, j
                elif away < second:
                    second, chosen = away, j
            out[i, slot] = chosen


@njit(**_FLAGS)
def choose_far(near, seed, out, start, stop):
    """Further pairs: points drawn at random that are not among the near ones (n, k)."""
    n = len(near)
    for i in range(start, stop):
        state = mixed(np.uint64(seed) ^ mixed(np.uint64(i)))
        for slot in range(out.shape[1]):
            for attempt in range(64):
                state = mixed(state)
                j = below(state, n)
                taken = j == i or _holds(near[i], near.shape[1], j) or _holds(out[i], slot, j)
                if not taken or (attempt > 32 and j != i):
                    break
            out[i, slot] = j if j != i else (i + 1) % n


@njit(**_FLAGS)
def choose_far_nearby(y, near, reach, sides, cell, starts, members, seed, out, start, stop):
    """Further pairs anew: points within `reach` on the map, by cells of that side; else the old pair stays.

    members (n,) are the points in the order of their cells, y (n, 2 or 3) and cell (n,) in that order too; those from
    starts[c] to starts[c + 1] lie in cell c; sides (3,) how many cells there are along each axis."""
    deep = 1 if y.shape[1] == 3 else 0
    first, count = (
        np.empty(9, np.int64),
        np.empty(9, np.int64),
    )  # neighbouring cells of a row lie one after another
    for at in range(start, stop):
        i = members[at]
        state = mixed(np.uint64(seed) ^ mixed(np.uint64(i)))
        c = np.int64(cell[at])
        cx, cy, cz = c % sides[0], (c // sides[0]) % sides[1], c // (sides[0] * sides[1])
        total, runs = 0, 0
        for z in range(max(cz - deep, 0), min(cz + deep, sides[2] - 1) + 1):
            for v in range(max(cy - 1, 0), min(cy + 1, sides[1] - 1) + 1):
                row = sides[0] * (v + sides[1] * z)
                first[runs] = starts[row + max(cx - 1, 0)]
                count[runs] = starts[row + min(cx + 1, sides[0] - 1) + 1] - first[runs]
                total += count[runs]
                runs += 1
        for slot in range(out.shape[1]):
            for _ in range(8):
                state = mixed(state)
                rank, w = below(state, total), 0
                while rank >= count[w]:
                    rank -= count[w]
                    w += 1
                there = np.uint64(first[w] + rank)
                away = _apart(y[at], y[there])
                if away > reach * reach or there == at:
                    continue
                j = members[there]
                if not _holds(near[i], near.shape[1], j):
                    out[i, slot] = j
                    break


@njit(**_FLAGS)
def both_ways(pairs, starts, ends):
    """Each point's partners over directed pairs (n, k), as giver and as taker: ends[starts[i] : starts[i + 1]]."""
    n, k = pairs.shape
    starts[:] = 0
    for i in range(n):
        starts[i + 1] += k
        for s in range(k):
            starts[pairs[i, s] + 1] += 1
    for i in range(n):
        starts[i + 1] += starts[i]
    place = starts[:n].copy()
    for i in range(n):
        for s in range(k):
            j = pairs[i, s]
            ends[place[i]] = j
            place[i] += 1
            ends[place[j]] = i
            place[j] += 1


@njit(**_FORCES)
def _force2(y, ends, a, b, i, scale, offset, local):
    """Σ_j c_ij (y_i - y_j) over ends[a : b] in the plane, c = scale / (offset + d)², d = 1 + |y_i - y_j|²."""
    x0, x1 = y[i, 0], y[i, 1]
    g0, g1 = np.float32(0), np.float32(0)
    one = np.float32(1)
    for p in range(np.uint64(a), np.uint64(b)):
        j = np.uint64(ends[p])
        d0, d1 = x0 - y[j, 0], x1 - y[j, 1]
        d = one + d0 * d0 + d1 * d1
        q = offset + d
        c = scale / (q * q)
        if local:
            c /= np.sqrt(d)
        g0 += c * d0
        g1 += c * d1
    return g0, g1


@njit(**_FORCES)
def _force3(y, ends, a, b, i, scale, offset, local):
    """The same in space."""
    x0, x1, x2 = y[i, 0], y[i, 1], y[i, 2]
    g0, g1, g2 = np.float32(0), np.float32(0), np.float32(0)
    one = np.float32(1)
    for p in range(np.uint64(a), np.uint64(b)):
        j = np.uint64(ends[p])
        d0, d1, d2 = x0 - y[j, 0], x1 - y[j, 1], x2 - y[j, 2]
        d = one + d0 * d0 + d1 * d1 + d2 * d2
        q = offset + d
        c = scale / (q * q)
        if local:
            c /= np.sqrt(d)
        g0 += c * d0
        g1 += c * d1
        g2 += c * d2
    return g0, g1, g2


@njit(**_FLAGS)
def gradient(y, near_at, near, mid_at, mid, far_at, far, w_near, w_mid, w_far, local, g, start, stop):
    """Gradient (n, 2 or 3) of the loss at y for rows start … stop. `local` : LocalMAP's factor on near pairs."""
    one, ten, myriad = np.float32(1), np.float32(10), np.float32(10000)
    s_near, s_mid, s_far = np.float32(20) * w_near, np.float32(20000) * w_mid, np.float32(-2) * w_far
    if local > 0:
        s_near *= local
    for i in range(start, stop):
        if y.shape[1] == 2:
            a0, a1 = _force2(y, near, near_at[i], near_at[i + 1], i, s_near, ten, local > 0)
            c0, c1 = _force2(y, far, far_at[i], far_at[i + 1], i, s_far, one, False)
            g[i, 0], g[i, 1] = a0 + c0, a1 + c1
            if w_mid > 0:
                a0, a1 = _force2(y, mid, mid_at[i], mid_at[i + 1], i, s_mid, myriad, False)
                g[i, 0] += a0
                g[i, 1] += a1
        else:
            a0, a1, a2 = _force3(y, near, near_at[i], near_at[i + 1], i, s_near, ten, local > 0)
            c0, c1, c2 = _force3(y, far, far_at[i], far_at[i + 1], i, s_far, one, False)
            g[i, 0], g[i, 1], g[i, 2] = a0 + c0, a1 + c1, a2 + c2
            if w_mid > 0:
                a0, a1, a2 = _force3(y, mid, mid_at[i], mid_at[i + 1], i, s_mid, myriad, False)
                g[i, 0] += a0
                g[i, 1] += a1
                g[i, 2] += a2


@njit(error_model="numpy", **_FLAGS)
def step(y, out, m, v, g, rate, start, stop):
    """Adam for rows start … stop: from y (read by all) to out; m, v the running moments, rate bias-corrected."""
    keep1, keep2, tiny = np.float32(0.9), np.float32(0.999), np.float32(1e-7)
    one = np.float32(1)
    for i in range(start, stop):
        for c in range(y.shape[1]):
            m[i, c] = keep1 * m[i, c] + (one - keep1) * g[i, c]
            v[i, c] = keep2 * v[i, c] + (one - keep2) * g[i, c] * g[i, c]
            out[i, c] = y[i, c] - rate * m[i, c] / (np.sqrt(v[i, c]) + tiny)
