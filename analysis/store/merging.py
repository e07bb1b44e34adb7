"""Merging two partial summaries of one tap (compiled loops over units).

Not cached on disk: Numba's cache notices a change of its own file only, and these loops contain those of kernels.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from analysis.store.kernels import N_SLOTS, PER_SLOT, insert_key, insert_top, merge_moments, raise_octave
from analysis.store.missing import merged

_FLAGS = {"nogil": True}


@njit(**_FLAGS)
def _moments(a, b):
    for u in range(len(a)):
        if b[u, 0] > 0:
            merge_moments(a, u, b[u, 0], b[u, 1], b[u, 2], b[u, 3], b[u, 4])


@njit(**_FLAGS)
def _top(values, rows, classes, values_b, rows_b, classes_b):
    for u in range(len(values)):
        for k in range(values_b.shape[1]):
            if values_b[u, k] == -np.inf:
                break
            insert_top(values[u], rows[u], classes[u], values_b[u, k], rows_b[u, k], classes_b[u, k])


@njit(**_FLAGS)
def _slots(keys, values, octaves, keys_b, values_b, octaves_b):
    """`keys_b`, `values_b` are copies: they are brought to the common octave as well."""
    empty = np.uint32(0xFFFFFFFF)
    for u in range(len(keys)):
        octave = max(octaves[u], octaves_b[u])
        raise_octave(keys, values, octaves, u, octave)
        raise_octave(keys_b, values_b, octaves_b, u, octave)
        for s in range(N_SLOTS):
            for k in range(PER_SLOT):
                if keys_b[u, s, k] == empty:
                    break
                insert_key(keys[u, s], values[u, s], keys_b[u, s, k], values_b[u, s, k])


@njit(**_FLAGS)
def _classes(count, mean, m2, count_b, mean_b, m2_b):
    for u in range(count.shape[0]):
        for c in range(count.shape[1]):
            n_b = np.float64(count_b[u, c])
            if n_b == 0:
                continue
            n_a = np.float64(count[u, c])
            n = n_a + n_b
            delta = mean_b[u, c] - mean[u, c]
            mean[u, c] += delta * n_b / n
            m2[u, c] += m2_b[u, c] + delta * delta * n_a * n_b / n
            count[u, c] += count_b[u, c]


def merge_into(a, b) -> None:
    """Add the partial `b` to the partial `a` (UnitSummary); `b` is left unchanged."""
    _moments(a.moments, b.moments)
    for name in (
        "nonfinite",
        "positive",
        "nonzero",
        "histogram",
        "sketch",
        "sketch_ones",
        "samples_seen",
        "sample_sum",
    ):
        getattr(a, name)[...] += getattr(b, name)
    a.missing = merged(a.missing, b.missing)
    np.minimum(a.minimum, b.minimum, out=a.minimum)
    np.maximum(a.maximum, b.maximum, out=a.maximum)
    _top(a.top_values, a.top_rows, a.top_classes, b.top_values, b.top_rows, b.top_classes)
    _slots(a.slot_keys, a.slot_values, a.octaves, b.slot_keys.copy(), b.slot_values.copy(), b.octaves.copy())
    _classes(a.class_count, a.class_mean, a.class_m2, b.class_count, b.class_mean, b.class_m2)
    keys = np.concatenate([a.sample_keys, b.sample_keys])
    kept = np.argsort(keys, kind="stable")[: len(a.sample_keys)]
    a.sample_values[...] = np.concatenate([a.sample_values, b.sample_values], axis=1)[:, kept]
    a.sample_keys[...] = keys[kept]
    a.n_rows += b.n_rows
