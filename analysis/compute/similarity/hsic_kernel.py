"""Inner products of Gaussian kernels of several representations at once, in tiles of rows: no n x n matrix is kept.

K_ij = exp(-|x_i - x_j|² / (2 s²)) with s a share of the median distance between samples, so that scale does not matter.
For all pairs of k representations the products Σ K_ij L_ij are one (k, k) product of stacked tiles; row sums centre
them afterwards:

    unbiased  Σ' K L - 2 / (n - 2) Σ r_i t_i + Σ r Σ t / ((n - 1) (n - 2))     r, t row sums without the diagonal
    biased    Σ K L - 2 / n Σ r_i t_i + Σ r Σ t / n²                            with the diagonal

References: S. Kornblith et al. (2019) for the bandwidth; L. Song et al. (2012).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.compute.statistics.exchange_moments import Centred
from analysis.spec import Progress, no_progress

PAIRS = 2000  # samples whose distances give the median
TILE_BYTES = 256 << 20
ROUNDING = 1e-12  # of the largest squared distance: what rounding leaves between equal samples


def bandwidth(x: np.ndarray, share: float, rng: np.random.Generator) -> float:
    """`share` of the median distance between two different samples of x (n, d); of at most 2,000 of them. 0 where all
    are equal. Equal samples say nothing of the scale, and there may be more of them than of others (dead units)."""
    part = x if len(x) <= PAIRS else x[rng.choice(len(x), PAIRS, replace=False)]
    squared = squared_distances(part, part)[np.triu_indices(len(part), 1)]
    apart = squared[squared > ROUNDING * squared.max(initial=0.0)]
    return float(share * np.sqrt(np.median(apart))) if len(apart) else 0.0


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(len(x), len(y)) squared Euclidean distances; x and y centred beforehand."""
    out = x @ y.T
    out *= -2.0
    out += np.einsum("ij,ij->i", x, x)[:, None]
    out += np.einsum("ij,ij->i", y, y)
    return np.maximum(out, 0.0, out=out)


def kernel_products(
    values: Sequence[np.ndarray],
    widths: Sequence[float],
    group: np.ndarray,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.3, 1.0),
) -> tuple[np.ndarray, np.ndarray, list[Centred]]:
    """Biased and unbiased inner products, each (1 + G, k, k), of all samples, then without each group; and what the
    exchange of samples needs of each centred kernel matrix.

    values : k centred arrays (n, d_i). widths : their s. group : (n,).
    Time O(n² (Σ d + k²)), memory O(k n) beside tiles of 256 MB.
    """
    k, n = len(values), len(group)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(group.max() + 2))
    groups = len(starts) - 1
    sorted_values = [x[order] for x in values]
    tile = max(1, TILE_BYTES // (8 * n * (k + 1)))
    every, inside = np.zeros((groups, k, k)), np.zeros((groups, k, k))
    sums = np.empty((k, n, groups))  # row sums over the columns of each group
    for g in range(groups):
        for first in range(starts[g], starts[g + 1], tile):
            rows = slice(first, min(first + tile, starts[g + 1]))
            progress(span[0] + (span[1] - span[0]) * first / n, "comparing kernels")
            stacked = np.empty((k, rows.stop - rows.start, n))
            for a, (x, s) in enumerate(zip(sorted_values, widths, strict=True)):
                squared = squared_distances(x[rows], x)
                np.exp(np.multiply(squared, -0.5 / s**2, out=squared), out=stacked[a])
                stacked[a, np.arange(len(stacked[a])), np.arange(rows.start, rows.stop)] = 0.0
                sums[a, rows] = np.add.reduceat(stacked[a], starts[:-1], axis=1)
            flat = stacked.reshape(k, -1)
            every[g] += flat @ flat.T
            part = np.ascontiguousarray(stacked[:, :, starts[g] : starts[g + 1]]).reshape(k, -1)
            inside[g] += part @ part.T
    biased, unbiased = _finished(every, inside, sums, starts)
    return biased, unbiased, [_centred(sums[a].sum(axis=1), float(biased[0, a, a])) for a in range(k)]


def _finished(every, inside, sums, starts) -> tuple[np.ndarray, np.ndarray]:
    whole, n = every.sum(axis=0), sums.shape[1]
    rows = sums.sum(axis=2)
    biased, unbiased = [], []
    for g in range(-1, len(every)):
        stay = np.ones(n, bool)
        cross, r = whole, rows
        if g >= 0:
            stay[starts[g] : starts[g + 1]] = False
            cross, r = whole - 2 * every[g] + inside[g], (rows - sums[:, :, g])[:, stay]
        m, total = int(stay.sum()), r.sum(axis=1)
        of_rows, of_sums = r @ r.T, np.outer(total, total)
        if m >= 4:
            unbiased.append(cross - 2 / (m - 2) * of_rows + of_sums / ((m - 1) * (m - 2)))
        else:
            unbiased.append(np.full_like(cross, np.nan))
        r, total = r + 1, total + m  # the diagonal of ones
        biased.append(cross + m - 2 / m * (r @ r.T) + np.outer(total, total) / m**2)
    return np.array(biased), np.array(unbiased)


def _centred(sums: np.ndarray, squared: float) -> Centred:
    """Of the doubly centred kernel matrix, from row sums without the diagonal."""
    n = len(sums)
    rows = (sums + 1) / n
    diagonal = 1 - 2 * rows + rows.mean()
    return Centred(float(diagonal.sum()), squared, float(diagonal @ diagonal), n)
