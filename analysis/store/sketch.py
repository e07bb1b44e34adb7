"""The quantile sketch: a log-linear histogram on the bits of a float32 (as in HDR histograms and DDSketch).

A value's bucket is its sign, its exponent clipped to [2^-24, 2^16) (all of float16) and the first 4 bits of its
mantissa, so buckets are at most 1/16 as wide as their lower edge; |value| < 2^-24 falls into the zero bucket.
Merging is addition. A quantile is the order statistic's bucket (exactly known) and a place inside it, taken from
a uniform row sample where that has enough rows in the bucket, else by linear interpolation: so the relative error
is at most 1/16 for magnitudes within [2^-24, 2^16), at most 2^-24 absolute below, and within [minimum, maximum]
above. Quantiles are of the "inverted CDF" kind: q gives the ceil(q n)-th smallest value.

Masson, Rim, Lee: DDSketch (PVLDB 2019), for mergeable relative-error buckets.
"""

from __future__ import annotations

import numpy as np

LOWEST, HIGHEST = (
    -24,
    16,
)  # exponents of two; after a change touch kernels.py, whose compiled cache holds them
MANTISSA_BITS = 4
PER_SIGN = (HIGHEST - LOWEST) << MANTISSA_BITS  # 640
ZERO = PER_SIGN
N_BUCKETS = 2 * PER_SIGN + 1
RELATIVE_ERROR = 2.0**-MANTISSA_BITS


def _edges() -> tuple[np.ndarray, np.ndarray]:
    steps = np.arange(PER_SIGN + 1)
    edge = 2.0 ** (LOWEST + (steps >> MANTISSA_BITS)) * (1 + (steps & 15) / 16)
    low = np.concatenate([-edge[:0:-1], [-edge[0]], edge[:-1]])
    high = np.concatenate([-edge[-2::-1], [edge[0]], edge[1:]])
    return low, high


LOW, HIGH = _edges()  # (N_BUCKETS,) each; a negative bucket holds (low, high], a positive one [low, high)


def bucket_of(values: np.ndarray) -> np.ndarray:
    """Bucket index of finite values (any shape); the NumPy twin of the kernel's arithmetic."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.int32)
    k = np.clip(
        ((bits & 0x7FFFFFFF) >> (23 - MANTISSA_BITS)) - ((127 + LOWEST) << MANTISSA_BITS), -1, PER_SIGN - 1
    )
    return np.where(bits < 0, ZERO - 1 - k, ZERO + 1 + k)


def quantiles(
    counts: np.ndarray, q, minimum: np.ndarray, maximum: np.ndarray, sample: np.ndarray | None = None
) -> np.ndarray:
    """Quantiles of units from their bucket counts.

    Parameters
    ----------
    counts : (units, N_BUCKETS) integers.
    q : (k,) in [0, 1].
    minimum, maximum : (units,) exact extremes.
    sample : (units, m), optional
        Values of the same units at a uniform sample of rows; NaN where there is none.

    Returns
    -------
    (units, k) float64, NaN for units without a finite value. O(units * (N_BUCKETS + m log m)).
    """
    q = np.atleast_1d(np.asarray(q, dtype=np.float64))
    units = np.arange(len(counts))[:, None]
    total = np.cumsum(counts, axis=1, dtype=np.int64)
    n = total[:, -1:]
    minimum, maximum = np.asarray(minimum)[:, None], np.asarray(maximum)[:, None]
    rank = np.clip(np.ceil(q * n).astype(np.int64), 1, np.maximum(n, 1))  # 1-based, (units, k)
    bucket = np.minimum(_first_at_least(total, rank), N_BUCKETS - 1)
    inside = counts[units, bucket].astype(np.int64)
    share = (rank - (total[units, bucket] - inside) - 0.5) / np.maximum(inside, 1)
    low, high = np.maximum(LOW[bucket], minimum), np.minimum(HIGH[bucket], maximum)
    low, high = np.where(bucket == 0, minimum, low), np.where(bucket == N_BUCKETS - 1, maximum, high)
    with np.errstate(invalid="ignore"):  # units without a finite value
        value = low + share * (high - low)
    if sample is not None:
        value = _from_sample(np.sort(np.asarray(sample, np.float32), axis=1), bucket, share, inside, value)
    value = np.clip(value, minimum, maximum)  # exact at both ends
    value = np.where(rank == n, maximum, np.where(rank == 1, minimum, value))
    return np.where(n > 0, value, np.nan)


def _first_at_least(rising: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Per row of `rising` (units, m), non-negative integers: the first place not below `wanted` (units, k)."""
    units, m = rising.shape
    if m == 0:
        return np.zeros(wanted.shape, np.int64)
    step = int(max(rising.max(), wanted.max())) + 1  # one long rising array, so that one search does all rows
    shift = step * np.arange(units, dtype=np.int64)[:, None]
    found = np.searchsorted((rising + shift).ravel(), (wanted + shift).ravel())
    return found.reshape(wanted.shape) - m * np.arange(units)[:, None]


def _from_sample(ordered, bucket, share, inside, otherwise) -> np.ndarray:
    """Place inside the bucket by the sample rows that fall into it (at least 8, or all there are).

    `ordered` (units, m) rises and ends with NaN where there are fewer; all others are (units, k).
    """
    if ordered.shape[1] == 0:
        return otherwise
    own = np.where(np.isnan(ordered), N_BUCKETS, bucket_of(ordered)).astype(np.int64)
    first, last = _first_at_least(own, bucket), _first_at_least(own, bucket + 1)
    m = last - first
    pick = np.clip(first + np.floor(share * m).astype(np.int64), 0, ordered.shape[1] - 1)
    value = ordered[np.arange(len(ordered))[:, None], pick].astype(np.float64)
    return np.where((m > 0) & ((m >= 8) | (m >= inside)), value, otherwise)


def counts_below(counts: np.ndarray, x: np.ndarray, sample: np.ndarray | None = None) -> np.ndarray:
    """How many values of ONE unit lie below each `x` (k,): exact at bucket edges, else interpolated.

    Inside a bucket the place is taken from the row sample (at least 8 of it in the bucket) or linearly.
    """
    x = np.asarray(x, dtype=np.float64)
    total = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    bucket = np.clip(np.searchsorted(HIGH, x, side="right"), 0, N_BUCKETS - 1)
    share = np.clip((x - LOW[bucket]) / (HIGH[bucket] - LOW[bucket]), 0, 1)
    if sample is not None:
        values = np.sort(sample[np.isfinite(sample)].astype(np.float64))
        first, at, last = (np.searchsorted(values, v, side="left") for v in (LOW[bucket], x, HIGH[bucket]))
        m = last - first
        share = np.where((m >= 8) & (share > 0) & (share < 1), (at - first) / np.maximum(m, 1), share)
    below = total[bucket] + np.round(share * counts[bucket]).astype(np.int64)
    return np.where(x >= HIGH[-1], total[-1], np.where(x <= LOW[0], 0, below))
