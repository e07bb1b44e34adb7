"""Seeded order of rows: which rows a sample keeps does not depend on machine, chunk or order of arrival.

Every row has a key, a bijective 32-bit mix of its index (so keys never tie); a sample of k is the k rows with
the smallest keys (bottom-k sampling, Cohen & Kaplan 2007): uniform, and the bottom-k of a union is the bottom-k
of the parts' bottom-ks. The row is got back from the key, so only keys are stored.
"""

from __future__ import annotations

import numpy as np

EMPTY = np.uint32(0xFFFFFFFF)  # "no row": the one row with this key is never sampled
MAXIMUM_ROWS = 2**32 - 2
_A, _B = 0x21F0AAAD, 0xD35A2D97
_A_BACK, _B_BACK = pow(_A, -1, 2**32), pow(_B, -1, 2**32)
_ROWS, _SIGNS = 0x9E3779B9, 0x85EBCA6B  # two independent streams


def _mix(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.uint32, copy=True)
    x ^= x >> np.uint32(16)
    x *= np.uint32(_A)
    x ^= x >> np.uint32(15)
    x *= np.uint32(_B)
    x ^= x >> np.uint32(15)
    return x


def keys_of(rows: np.ndarray, seed: int = 0) -> np.ndarray:
    """Sampling key (uint32) of each row index below 2^32 - 1."""
    salt = _mix(np.array([(_ROWS + seed) & 0xFFFFFFFF], dtype=np.uint32))
    return _mix(np.asarray(rows).astype(np.uint32) ^ salt)


def rows_of(keys: np.ndarray, seed: int = 0) -> np.ndarray:
    """Row index (int64) of each key: the inverse of `keys_of`."""
    x = np.asarray(keys).astype(np.uint32, copy=True)
    x ^= (x >> np.uint32(15)) ^ (x >> np.uint32(30))
    x *= np.uint32(_B_BACK)
    x ^= (x >> np.uint32(15)) ^ (x >> np.uint32(30))
    x *= np.uint32(_A_BACK)
    x ^= x >> np.uint32(16)
    salt = _mix(np.array([(_ROWS + seed) & 0xFFFFFFFF], dtype=np.uint32))
    return (x ^ salt).astype(np.int64)


def signs_of(samples: np.ndarray, seed: int = 0) -> np.ndarray:
    """A random sign (float32, +1 or -1) of each sample index, for the correlation sketch."""
    salt = _mix(np.array([(_SIGNS + seed) & 0xFFFFFFFF], dtype=np.uint32))
    bit = _mix(np.asarray(samples).astype(np.uint32) ^ salt) >> np.uint32(31)
    return 1.0 - 2.0 * bit.astype(np.float32)
