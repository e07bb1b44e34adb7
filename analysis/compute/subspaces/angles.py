"""Principal angles between subspaces, of one pair and of all pairs of many, and the overlap they make.

θ_1 <= … <= θ_m, m = min(p, q), are the angles between orthonormal bases A (d, p) and B (d, q): cos θ are the singular
values of AᵀB (Björck & Golub 1973). The arc cosine loses half of the digits near 0, so small angles come from sines,
the singular values of what B has outside A (Knyazev & Argentati 2002). The overlap Σ cos² θ / m is 1 where one holds
the other and max(p, q) / d on average for random subspaces: E Σ cos² θ = p q / d.

References: Å. Björck & G. Golub (1973), "Numerical methods for computing angles between linear subspaces"; A. Knyazev &
M. Argentati (2002).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from analysis.compute.machine import machine
from analysis.spec import Progress, no_progress

SMALL = 0.05  # radians: below, arc cosines lose digits that are asked for
BLOCK_BYTES = 64 << 20  # of inner products at a time


def principal_angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(min(p, q),) rising angles between the spans of orthonormal columns `a` (d, p) and `b` (d, q). O(d p q)."""
    if a.shape[1] < b.shape[1]:
        a, b = b, a
    inside = a.T @ b
    return _exact(a, b, inside, np.linalg.svd(inside, compute_uv=False))


def _exact(a: np.ndarray, b: np.ndarray, inside: np.ndarray, cosines: np.ndarray) -> np.ndarray:
    """`a` is the wider one; `cosines` falling."""
    angles = np.arccos(np.clip(cosines, -1.0, 1.0))
    small = angles < SMALL
    if small.any():
        sines = np.linalg.svd(b - a @ inside, compute_uv=False)[::-1]
        angles[small] = np.arcsin(np.clip(sines[: len(angles)], 0.0, 1.0))[small]
    return np.maximum.accumulate(angles)


def all_angles(
    bases: Sequence[np.ndarray], progress: Progress = no_progress, span: tuple[float, float] = (0.0, 1.0)
) -> tuple[np.ndarray, np.ndarray]:
    """Angles of every two of N subspaces of one dimension.

    Parameters
    ----------
    bases : N arrays (d, k), orthonormal columns.

    Returns
    -------
    pairs (m, 2) with i < j, angles (m, k) rising. Time O(N² d k²) in products as large as memory allows, N² / 2
    decompositions (k, k) in threads; memory some times 64 MB.
    """
    stack = np.ascontiguousarray(np.stack([b.T for b in bases]))  # (N, k, d)
    count, k, d = stack.shape
    i, j = np.triu_indices(count, 1)
    angles = np.empty((len(i), k))
    place = np.zeros((count, count), np.int64)
    place[i, j] = np.arange(len(i))
    step = max(1, int(BLOCK_BYTES // (8 * k * k * count)))
    flat = stack.reshape(count * k, d)
    with ThreadPoolExecutor(machine().cores) as pool:
        for start in range(0, count - 1, step):
            progress(span[0] + (span[1] - span[0]) * start / count, "measuring angles")
            stop = min(start + step, count - 1)
            products = flat[start * k : stop * k] @ flat[(start + 1) * k :].T
            products = products.reshape(stop - start, k, count - start - 1, k).transpose(0, 2, 1, 3)
            for row, cosines in enumerate(pool.map(_singular, products)):
                one = start + row
                mine = cosines[row:]  # those after it
                angles[place[one, one + 1 :]] = np.arccos(np.clip(mine, -1.0, 1.0))
                for other in np.flatnonzero(mine[:, 0] > np.cos(SMALL)):
                    b = bases[one + 1 + other]
                    angles[place[one, one + 1 + other]] = _exact(
                        bases[one], b, products[row, row + other], mine[other]
                    )
    return np.stack([i, j], axis=1), angles


def _singular(products: np.ndarray) -> np.ndarray:
    return np.linalg.svd(products, compute_uv=False)


def overlap(angles: np.ndarray) -> np.ndarray:
    """Σ cos² θ / m over the last axis: 1 where one subspace holds the other."""
    return (np.cos(angles) ** 2).mean(axis=-1)


def overlap_by_chance(p: int, q: int, d: int) -> tuple[float, float]:
    """Mean and deviation of that overlap for a uniformly random pair of subspaces, exactly.

    Σ cos² θ = tr(P Q) with P, Q projections of ranks p, q, one of them rotated at random: mean p q / d, variance
    2 p q (d - p) (d - q) / ((d - 1) d² (d + 2)).
    """
    m = min(p, q)
    variance = 2.0 * p * q * (d - p) * (d - q) / ((d - 1) * d**2 * (d + 2)) if d > 1 else 0.0
    return p * q / d / m, float(np.sqrt(variance)) / m
