"""Compiled inner loops of UMAP: the scale of each point's neighbourhood, and one epoch of the layout.

Imports Numba. Every loop over rows start … stop writes to those rows only, reads the positions of the epoch before
and draws from a hash of (seed, epoch, row), so the answer is the same for any number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_FLAGS = {"nogil": True, "cache": True}
_STEP = np.uint64(0x9E3779B97F4A7C15)
LOWEST, OCTAVES, PER_OCTAVE = -40, 70, 64  # of the tables of forces: squared distances 2⁻⁴⁰ … 2³⁰
_CLIP = np.float32(4)


@njit(**_FLAGS)
def _mixed(x):
    x = np.uint64(x) + _STEP
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(**_FLAGS)
def memberships(distances, overall, out, start, stop):
    """Strength of the links of each point: exp(-(d - ρ) / σ), Σ_j = log2(k + 1), ρ the least distance above 0.

    distances, out : (n, k), nearest first, the point itself left out. overall : mean distance; σ is at least a
    thousandth of the row's mean (of the overall mean where ρ = 0), so that equal points do no harm."""
    k = distances.shape[1]
    target = np.log2(k + 1.0)
    for i in range(start, stop):
        rho, mean = 0.0, 0.0
        for s in range(k):
            mean += distances[i, s] / k
            if rho == 0.0 and distances[i, s] > 0:
                rho = distances[i, s]
        low, high, sigma = 0.0, np.inf, 1.0
        for _ in range(64):
            total = 0.0
            for s in range(k):
                away = distances[i, s] - rho
                total += np.exp(-away / sigma) if away > 0 else 1.0
            if abs(total - target) < 1e-5:
                break
            if total > target:
                high = sigma
                sigma = (low + high) / 2
            else:
                low = sigma
                sigma = sigma * 2 if high == np.inf else (low + high) / 2
        sigma = max(sigma, 1e-3 * (mean if rho > 0 else overall))
        for s in range(k):
            away = distances[i, s] - rho
            out[i, s] = np.exp(-away / sigma) if away > 0 and sigma > 0 else 1.0


@njit(fastmath=True, **_FLAGS)
def _looked_up(table, square, scratch, bits):
    """Linear interpolation in a table that is even in the logarithm of the squared distance."""
    scratch[0] = square
    place = bits[0] >> np.int32(17)  # exponent and the first six bits of the fraction
    k = place - np.int32((127 + LOWEST) * PER_OCTAVE)
    if k < 0:
        return table[0]
    if k >= OCTAVES * PER_OCTAVE:
        return table[OCTAVES * PER_OCTAVE]
    part = np.float32(bits[0] & np.int32(0x1FFFF)) * np.float32(2.0**-17)
    return table[k] + part * (table[k + 1] - table[k])


@njit(fastmath=True, **_FLAGS)
def _clipped(x):
    return min(max(x, -_CLIP), _CLIP)


@njit(fastmath=True, **_FLAGS)
def epoch(y, out, starts, ends, strength, number, rate, negatives, pull, push, seed, start, stop):
    """One epoch: from y (n, 3; the third 0 on a plane) to out, for rows start … stop.

    starts, ends, strength : links of each point (both directions are there), strength in (0, 1]; a link acts in
    this share of the epochs, evenly spread. pull, push : tables of the forces by squared distance."""
    scratch = np.zeros(1, np.float32)
    bits = scratch.view(np.int32)
    n = len(y)
    tiny, two = np.float32(1e-12), np.float32(2)
    for i in range(start, stop):
        x0, x1, x2 = y[i, 0], y[i, 1], y[i, 2]
        state = _mixed(np.uint64(seed) ^ _mixed(np.uint64(number) * np.uint64(n) + np.uint64(i)))
        for p in range(starts[i], starts[i + 1]):
            w = np.float64(strength[p])
            if np.floor((number + 1) * w) <= np.floor(number * w):
                continue
            j = ends[p]
            d0, d1, d2 = x0 - y[j, 0], x1 - y[j, 1], x2 - y[j, 2]
            square = d0 * d0 + d1 * d1 + d2 * d2
            if square > tiny:  # twice: as the giver and as the taker of the link
                c = _looked_up(pull, square, scratch, bits)
                x0 -= two * rate * _clipped(c * d0)
                x1 -= two * rate * _clipped(c * d1)
                x2 -= two * rate * _clipped(c * d2)
            m0, m1, m2 = np.float32(0), np.float32(0), np.float32(0)
            for _ in range(negatives):  # all from one place: the processor may overlap them
                state += _STEP
                drawn = (state ^ (state >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
                j = np.int64(((drawn >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))
                if j == i:
                    continue
                d0, d1, d2 = x0 - y[j, 0], x1 - y[j, 1], x2 - y[j, 2]
                square = d0 * d0 + d1 * d1 + d2 * d2
                if square > tiny:
                    c = _looked_up(push, square, scratch, bits)
                    m0 += _clipped(c * d0)
                    m1 += _clipped(c * d1)
                    m2 += _clipped(c * d2)
            x0 += rate * m0
            x1 += rate * m1
            x2 += rate * m2
        out[i, 0], out[i, 1], out[i, 2] = x0, x1, x2
