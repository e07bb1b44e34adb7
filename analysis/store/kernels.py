"""Compiled inner loops of the feature index: one unit's values of one block at a time, all in cache.

Imported by the writing side only (it imports Numba). Every kernel releases the GIL and none is parallel: threads
come from outside, because Numba's own threading layer aborts a server that calls it from several threads.
The fast-math helpers see finite numbers only. All in one file: Numba's cache on disk notices changes of the file
it is in and of no other.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import overload

from analysis.store.sketch import HIGHEST, LOW, LOWEST, MANTISSA_BITS, N_BUCKETS, PER_SIGN, ZERO

TOP = 64
PER_SLOT = 8  # rows kept per slot
RUN = 64  # values looked at together
OCTAVES = 12  # below the strongest magnitude; everything weaker shares the zero slot
SLOTS_PER_SIGN = OCTAVES * 4
ZERO_SLOT = SLOTS_PER_SIGN
N_SLOTS = 2 * SLOTS_PER_SIGN + 1
SKETCH = 1024  # buckets of the correlation sketch

_BASE = (127 + LOWEST) << MANTISSA_BITS
_SHIFT = 23 - MANTISSA_BITS
_UP = np.float32(2.0**112)
_FLOOR = np.append(np.float32(-np.inf), LOW[1:].astype(np.float32))  # no value of a bucket lies below it
_FLOOR_PLACE = _FLOOR.view(np.int32) ^ ((_FLOOR.view(np.int32) >> 31) & np.int32(0x7FFFFFFF))
_NO_KEY = np.uint32(0xFFFFFFFF)
_FLAGS = {"nogil": True, "cache": True}


@njit(**_FLAGS)
def transpose_into(source, out, start, stop):
    """out[u, r] = source[r, u] for units start … stop, in tiles."""
    rows = source.shape[0]
    for u0 in range(start, stop, 64):
        u1 = min(u0 + 64, stop)
        for r0 in range(0, rows, 64):
            r1 = min(r0 + 64, rows)
            for u in range(u0, u1):
                for r in range(r0, r1):
                    out[u, r] = source[r, u]


@njit(**_FLAGS)
def _widen_half(half, bits, values):
    """float16 bits to float32 values; returns how many are not finite."""
    bad = 0
    for i in range(half.size):
        wild = (half[i] & np.uint16(0x7C00)) == np.uint16(0x7C00)  # stays infinite or NaN when scaled
        bits[i] = (np.int32(half[i] & np.uint16(0x7FFF)) << 13) | (
            np.int32(0x7F800000) if wild else np.int32(0)
        )
        bad += np.int32(wild)
    magnitude = bits.view(np.float32)
    for i in range(half.size):
        scale = _UP if half[i] < np.uint16(0x8000) else -_UP
        values[i] = magnitude[i] * scale
    return bad


@njit(**_FLAGS)
def _widen_single(single, bits, values):
    """float32 bits (int32) to values; returns how many are not finite."""
    bad = 0
    for i in range(single.size):
        bad += np.int32((single[i] & np.int32(0x7F800000)) == np.int32(0x7F800000))
        bits[i] = single[i]
    view = bits.view(np.float32)
    for i in range(single.size):
        values[i] = view[i]
    return bad


@njit(fastmath=True, **_FLAGS)
def _sum(v):
    total = 0.0
    for i in range(v.size):
        total += np.float64(v[i])
    return total


@njit(**_FLAGS)
def _scan(bits):
    """How many values are positive, how many nonzero, and the ends in the order of the values, from their bits
    (comparing floats does not vectorise)."""
    positive, nonzero = np.uint32(0), np.uint32(0)
    low, high = np.int32(0x7FFFFFFF), np.int32(-0x7FFFFFFF)  # beyond every finite value
    for i in range(bits.size):
        positive = np.uint32(positive + np.uint32(bits[i] > np.int32(0)))
        nonzero = np.uint32(nonzero + np.uint32((bits[i] & np.int32(0x7FFFFFFF)) != np.int32(0)))
        k = np.int32(bits[i] ^ ((bits[i] >> np.int32(31)) & np.int32(0x7FFFFFFF)))
        low, high = np.int32(min(low, k)), np.int32(max(high, k))
    return positive, nonzero, low, high


@njit(**_FLAGS)
def _values(low, high):
    """The values at two places of that order."""
    ends = np.array([low, high], np.int32)
    for k in range(2):
        ends[k] ^= (ends[k] >> np.int32(31)) & np.int32(0x7FFFFFFF)
    values = ends.view(np.float32)
    return values[0] + np.float32(0), values[1] + np.float32(0)  # -0 becomes 0


@njit(fastmath=True, **_FLAGS)
def _central(v, mean):
    s2, s3, s4 = 0.0, 0.0, 0.0
    for i in range(v.size):
        d = np.float64(v[i]) - mean
        dd = d * d
        s2 += dd
        s3 += dd * d
        s4 += dd * dd
    return s2, s3, s4


@njit(**_FLAGS)
def merge_moments(m, u, n_b, mean_b, s2_b, s3_b, s4_b):
    """Add (n, mean, central sums) to row u of `m` (units, 5) = n, mean, M2, M3, M4 (Chan et al.; Pébay)."""
    n_a, s2_a, s3_a = m[u, 0], m[u, 2], m[u, 3]
    n = n_a + n_b
    if n_b == 0:
        return
    delta = mean_b - m[u, 1]
    r = delta / n
    m[u, 4] += s4_b + delta * r * r * r * n_a * n_b * (n_a * n_a - n_a * n_b + n_b * n_b)
    m[u, 4] += 6 * r * r * (n_a * n_a * s2_b + n_b * n_b * s2_a) + 4 * r * (n_a * s3_b - n_b * s3_a)
    m[u, 3] += s3_b + delta * r * r * n_a * n_b * (n_a - n_b) + 3 * r * (n_a * s2_b - n_b * s2_a)
    m[u, 2] += s2_b + delta * r * n_a * n_b
    m[u, 1] += r * n_b
    m[u, 0] = n


@njit(**_FLAGS)
def _buckets(v, bits, bucket):
    """Sketch bucket of each value; the arithmetic of sketch.bucket_of."""
    for i in range(v.size):
        k = ((bits[i] & np.int32(0x7FFFFFFF)) >> _SHIFT) - np.int32(_BASE)
        k = min(max(k, np.int32(-1)), np.int32(PER_SIGN - 1)) + np.int32(1)
        bucket[i] = np.int32(ZERO) - k if v[i] < 0 else np.int32(ZERO) + k


@njit(**_FLAGS)
def _count_buckets(bucket, scratch, histogram, first, last):
    """Count values in buckets first … last; all lie there. Returns the highest bucket that TOP values reach or pass.

    Four interleaved histograms: the same bucket twice in a row would otherwise wait for itself.
    """
    scratch[:, first : last + 1] = 0
    a, b, c, d = scratch[0], scratch[1], scratch[2], scratch[3]
    n = bucket.size
    whole = n - n % 4
    for i in range(0, whole, 4):
        a[np.uintp(bucket[i])] += np.uint32(1)  # unsigned: Numba need not ask for a negative index
        b[np.uintp(bucket[i + 1])] += np.uint32(1)
        c[np.uintp(bucket[i + 2])] += np.uint32(1)
        d[np.uintp(bucket[i + 3])] += np.uint32(1)
    for i in range(whole, n):
        a[bucket[i]] += np.uint32(1)
    for k in range(first, last + 1):
        a[k] += b[k] + c[k] + d[k]
        histogram[k] += a[k]
    k, reached = last, a[last]
    while k > 0 and reached < TOP:
        k -= 1
        reached += a[k] if k >= first else np.uint32(0)
    return k


@njit(**_FLAGS)
def insert_key(keys, values, key, value):
    """Keep the smallest keys, rising, in `keys` (PER_SLOT,) with their values."""
    if key >= keys[PER_SLOT - 1]:
        return
    k = PER_SLOT - 1
    while k > 0 and keys[k - 1] > key:
        keys[k] = keys[k - 1]
        values[k] = values[k - 1]
        k -= 1
    keys[k] = key
    values[k] = value


@njit(**_FLAGS)
def raise_octave(keys, values, octaves, u, octave):
    """Make room for a stronger magnitude: slots move towards zero, the weakest join the zero slot."""
    old = octaves[u]
    if octave <= old:
        return
    octaves[u] = octave
    shift = 4 * (max(octave - OCTAVES + 1, 0) - max(old - OCTAVES + 1, 0))
    if old < 0 or shift == 0:
        return
    for sign in (-1, 1):
        for s in range(SLOTS_PER_SIGN):
            source = ZERO_SLOT + sign * (1 + s)
            for k in range(PER_SLOT):
                key = keys[u, source, k]
                if key == _NO_KEY:
                    break
                target = ZERO_SLOT if s < shift else source - sign * shift
                value = values[u, source, k]
                keys[u, source, k], values[u, source, k] = _NO_KEY, np.float32(0)
                insert_key(keys[u, target], values[u, target], key, value)


@njit(**_FLAGS)
def _fill_slots(v, bucket, key, keys, values, octave):
    floor = 4 * max(octave - OCTAVES + 1, 0)
    slot, shift = bucket, np.int32(1 - floor)
    for i in range(v.size):  # bucket -> slot, in place; 32-bit throughout
        b = np.int32(bucket[i] - np.int32(ZERO))
        s = max(np.int32(((abs(b) - np.int32(1)) >> np.int32(2)) + shift), np.int32(0))
        slot[i] = np.int32(ZERO_SLOT) + s if b > np.int32(0) else np.int32(ZERO_SLOT) - s
    limit = keys[:, PER_SLOT - 1].copy()
    for i in range(v.size):
        s = np.uintp(slot[i])
        if key[i] < limit[s]:
            insert_key(keys[s], values[s], key[i], v[i])
            limit[s] = keys[s, PER_SLOT - 1]


@njit(**_FLAGS)
def insert_top(values, rows, classes, x, row, label):
    """Keep the TOP strongest, falling, ties by lower row."""
    last = values.size - 1
    if x < values[last] or (x == values[last] and row >= rows[last]):
        return
    k = last
    while k > 0 and (values[k - 1] < x or (values[k - 1] == x and rows[k - 1] > row)):
        values[k] = values[k - 1]
        rows[k] = rows[k - 1]
        classes[k] = classes[k - 1]
        k -= 1
    values[k] = x
    rows[k] = row
    classes[k] = label


@njit(**_FLAGS)
def _threshold(bits, later):
    """The place in the order of the values from which one enters, given the bits of the weakest that is kept: one
    place higher where rows are `later`, as they lose ties. -0 lies just below 0."""
    place = bits ^ ((bits >> np.int32(31)) & np.int32(0x7FFFFFFF))
    if place == 0 or place == -1:
        return np.int32(1) if later else np.int32(-1)
    return np.int32(place + np.int32(later))


@njit(**_FLAGS)
def _fill_top(v, bits, bucket, row, rising, label, values, rows, classes):
    """What lies below `bucket` cannot enter: this block alone holds TOP stronger values."""
    last = values.size - 1
    kept_bits, floor, floor_place = values.view(np.int32), _FLOOR[bucket], _FLOOR_PLACE[bucket]
    threshold = np.int32(max(floor_place, _threshold(kept_bits[last], rising and row[0] > rows[last])))
    for start in range(0, v.size, RUN):  # most runs hold nothing strong enough
        stop = min(start + RUN, v.size)
        found = np.uint32(0)
        for i in range(start, stop):
            place = np.int32(bits[i] ^ ((bits[i] >> np.int32(31)) & np.int32(0x7FFFFFFF)))
            found = np.uint32(found + np.uint32(place >= threshold))
        if found:
            for i in range(start, stop):
                if v[i] >= floor and v[i] >= values[last]:
                    insert_top(values, rows, classes, v[i], row[i], label[i])
            later = rising and row[stop - 1] >= rows[last]
            threshold = np.int32(max(floor_place, _threshold(kept_bits[last], later)))


@njit(fastmath=True, **_FLAGS)
def _about(v, start, stop, mean):
    """Sums of v - mean and of its square over a run."""
    s1, s2 = 0.0, 0.0
    for i in range(start, stop):
        d = np.float64(v[i]) - mean
        s1 += d
        s2 += d * d
    return s1, s2


@njit(**_FLAGS)
def _fill_classes(v, order, starts, present, mean, sorted_values, count, means, m2):
    """Per-class sums about the block's mean, merged (Chan et al.) into count, means, m2 (classes,).

    `order` : positions sorted by class; class present[p] has order[starts[p] : starts[p + 1]].
    """
    for i in range(order.size):
        sorted_values[i] = v[np.uintp(order[i])]
    for p in range(present.size):
        c, n_b = present[p], np.float64(starts[p + 1] - starts[p])
        if n_b == 0:
            continue
        s1, s2 = _about(sorted_values, starts[p], starts[p + 1], mean)
        shift = s1 / n_b
        n_a = np.float64(count[c])
        delta = mean + shift - means[c]
        means[c] += delta * n_b / (n_a + n_b)
        m2[c] += max(s2 - shift * s1, 0.0) + delta * delta * n_a * n_b / (n_a + n_b)
        count[c] += np.uint32(n_b)


@njit(**_FLAGS)
def _keep_order(order, starts, moved, kept_order, kept_starts):
    """Class order after `_keep_finite`: `moved` (rows,) says where a row went, -1 for left out."""
    n = 0
    for p in range(starts.size - 1):
        kept_starts[p] = n
        for i in range(starts[p], starts[p + 1]):
            if moved[order[i]] >= 0:
                kept_order[n] = moved[order[i]]
                n += 1
    kept_starts[starts.size - 1] = n
    return n


@njit(fastmath=True, **_FLAGS)
def _fill_sketch(v, weight, bucket, consecutive, total, sketch):
    """CountSketch: add sign * value / tokens at the sample's bucket. Returns the sum of value / tokens; `total` is
    the sum of the values."""
    if consecutive:  # one row per sample in order: runs of neighbouring buckets
        i, n = 0, v.size
        while i < n:
            run = min(n - i, SKETCH - bucket[i])
            target, w, x = sketch[bucket[i] : bucket[i] + run], weight[i : i + run], v[i : i + run]
            for k in range(run):
                target[k] += w[k] * x[k]
            i += run
        return total
    total = 0.0
    for i in range(v.size):
        x = weight[i] * v[i]
        sketch[bucket[i]] += x
        total += np.float64(abs(weight[i])) * np.float64(v[i])
    return total


@njit(**_FLAGS)
def _keep_finite(v, moved, row, key, label, weight, bucket, s_row, s_key, s_label, s_weight, s_bucket):
    """Move the finite values (and what belongs to them) to the front of the scratch arrays; how many. `moved`
    says where each went, -1 for left out."""
    n = 0
    for i in range(v.size):
        moved[i] = -1
        if np.isfinite(v[i]):
            moved[i] = n
            v[n] = v[i]
            s_row[n], s_key[n], s_label[n] = row[i], key[i], label[i]
            s_weight[n], s_bucket[n] = weight[i], bucket[i]
            n += 1
    return n


def _widen(raw, bits, values):
    """Chosen when compiling, by the type of the stored bits."""


@overload(_widen)
def _widen_by_type(raw, bits, values):
    chosen = _widen_half if raw.dtype == types.uint16 else _widen_single
    return lambda raw, bits, values: chosen(raw, bits, values)


@njit(**_FLAGS)
def summarise(
    block, start, stop, row, key, label, weight, place, consecutive, order, starts, present,
    sample_to, sample_from, moments, nonfinite, positive, nonzero, minimum, maximum, histogram,
    top_values, top_rows, top_classes, slot_keys, slot_values, octaves, class_count, class_mean, class_m2,
    sketch, sample_sum, sample_values,
):  # fmt: skip
    """Add units start … stop of `block` (units, rows), as uint16 or int32 bits, to the summary's arrays."""
    n_rows = block.shape[1]
    bits, values = np.empty(n_rows, np.int32), np.empty(n_rows, np.float32)
    bucket, end_buckets = np.empty(n_rows, np.int32), np.empty(2, np.int32)
    rising = (row[1:] > row[:-1]).all()
    scratch = np.empty((4, N_BUCKETS), np.uint32)
    sorted_values = np.empty(n_rows, np.float32)
    s_order, s_starts = np.empty_like(order), np.empty_like(starts)
    s_row, s_key, s_label = np.empty_like(row), np.empty_like(key), np.empty_like(label)
    s_weight, s_place = np.empty_like(weight), np.empty_like(place)
    for u in range(start, stop):
        bad = _widen(block[u], bits, values)
        for k in range(sample_to.size):
            sample_values[u, sample_to[k]] = values[sample_from[k]]
        v, r, y, c, w, b, straight = values, row, key, label, weight, place, consecutive
        own_order, own_starts = order, starts
        if bad:
            nonfinite[u] += bad
            n = _keep_finite(
                values, bits, row, key, label, weight, place, s_row, s_key, s_label, s_weight, s_place
            )
            if n == 0:
                continue
            v, r, y, c, w, b = values[:n], s_row[:n], s_key[:n], s_label[:n], s_weight[:n], s_place[:n]
            straight = False
            own_order, own_starts = s_order[: _keep_order(order, starts, bits, s_order, s_starts)], s_starts
        total = _sum(v)
        mean = total / v.size
        s2, s3, s4 = _central(v, mean)
        merge_moments(moments, u, v.size, mean, s2, s3, s4)
        raw, own = v.view(np.int32), bucket[: v.size]
        n_positive, n_nonzero, lowest, highest = _scan(raw)
        positive[u] += n_positive
        nonzero[u] += n_nonzero
        low, high = _values(lowest, highest)
        minimum[u], maximum[u] = min(minimum[u], low), max(maximum[u], high)
        _buckets(v, raw, own)
        ends = np.array([low, high], np.float32)
        _buckets(ends, ends.view(np.int32), end_buckets)
        strong = _count_buckets(own, scratch, histogram[u], end_buckets[0], end_buckets[1])
        strongest = np.array([max(abs(low), abs(high))], np.float32).view(np.int32)[0]
        octave = min(max((strongest >> 23) - (127 + LOWEST), -1), HIGHEST - LOWEST - 1)
        raise_octave(slot_keys, slot_values, octaves, u, octave)
        _fill_slots(v, own, y, slot_keys[u], slot_values[u], octaves[u])
        _fill_top(v, raw, strong, r, rising, c, top_values[u], top_rows[u], top_classes[u])
        if present.size:
            means = class_count[u], class_mean[u], class_m2[u]
            _fill_classes(v, own_order, own_starts, present, mean, sorted_values, *means)
        sample_sum[u] += _fill_sketch(v, w, b, straight, total, sketch[u])
