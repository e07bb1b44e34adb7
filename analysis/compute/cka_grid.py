"""CKA of all pairs of several representations, by whichever inner products: a `Grid` beside its exact null.

linear    features of each tap once, a product of features for each pair (`hsic`)
kernel    Gaussian kernels of all taps together, in tiles (`hsic_kernel`)
batches   unbiased inner products of small batches (`hsic_batches`)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.compute.exchange_moments import Centred, centred_moments
from analysis.compute.hsic import Scratch, Side, alignment, inner, null_deviation, side_of
from analysis.compute.hsic_batches import batch_products
from analysis.compute.hsic_kernel import bandwidth, kernel_products, squared_distances
from analysis.compute.similarity_grid import Grid, Pair, compared, groups_of
from analysis.spec import Progress, no_progress


def linear_grid(
    values: Sequence[np.ndarray],
    rows: np.ndarray,
    columns: np.ndarray,
    rng: np.random.Generator,
    *,
    biased: bool = False,
    progress: Progress = no_progress,
) -> tuple[Grid, np.ndarray]:
    """The grid, and the length (k,) of each representation (0: all of its samples are equally far from each other).

    Time O(n p q) for each pair, O(n d min(n, d)) for each tap, memory O(n Σ min(n, d)).
    """
    n = len(values[0])
    group = groups_of(n, rng)
    sides, scratch = [], Scratch()
    for i, x in enumerate(values):
        progress(0.3 + 0.1 * i / len(values), "preparing taps")
        sides.append(side_of(x, group, scratch))

    def compare(a: Side, b: Side) -> Pair:
        found = inner(a, b, scratch)
        if biased:
            return _biased_pair(found.biased, a.own.biased, b.own.biased, a.gram, b.gram)
        series = alignment(found.unbiased, a.own.unbiased, b.own.unbiased)
        return Pair.with_moments(_whole(series), 0.0, null_deviation(n))

    grid = compared(
        sides, compare, rows, columns, n=n, units=[x.shape[1] for x in values], progress=progress, span=(0.4, 1.0)
    )  # fmt: skip
    return grid, np.array([s.own.unbiased[0] for s in sides])


def kernel_grid(
    values: Sequence[np.ndarray],
    rows: np.ndarray,
    columns: np.ndarray,
    rng: np.random.Generator,
    *,
    share: float,
    biased: bool = False,
    progress: Progress = no_progress,
) -> tuple[Grid, np.ndarray]:
    """The same with Gaussian kernels as wide as `share` of the median distance. Time O(n² (Σ d + k²))."""
    n, group = len(values[0]), groups_of(len(values[0]), rng)
    centred = [x - x.mean(axis=0) for x in values]
    centred = [x / np.abs(x).max() for x in centred]
    widths = [bandwidth(x, share, rng) for x in centred]
    good = [s > 0 for s in widths]  # more than half of the distances may be zero
    widths = [s if s > 0 else np.inf for s in widths]
    products = kernel_products(centred, widths, group, progress)
    of, grams = products[0 if biased else 1], products[2]

    def compare(a: int, b: int) -> Pair:
        if biased:
            return _biased_pair(of[:, a, b], of[:, a, a], of[:, b, b], grams[a], grams[b])
        return Pair.with_moments(
            _whole(alignment(of[:, a, b], of[:, a, a], of[:, b, b])), 0.0, null_deviation(n)
        )

    grid = compared(range(len(values)), compare, rows, columns, n=n, units=[x.shape[1] for x in values])
    return grid, np.where(good, np.einsum("aa->a", products[1][0]), 0.0)


def batch_grid(
    values: Sequence[np.ndarray],
    rows: np.ndarray,
    columns: np.ndarray,
    rng: np.random.Generator,
    *,
    batch: int,
    share: float | None = None,
) -> tuple[Grid, np.ndarray, int]:
    """The same from batches of `batch` samples, with linear kernels (share None) or Gaussian ones; and the number of
    batches. Time O(n b Σ d)."""
    order = rng.permutation(len(values[0]))
    centred = [x - x.mean(axis=0) for x in values]
    centred = [x / np.abs(x).max() for x in centred]
    widths = None if share is None else [bandwidth(x, share, rng) or np.inf for x in centred]

    def gram(x: np.ndarray, a: int) -> np.ndarray:
        return x @ x.T if widths is None else np.exp(-0.5 / widths[a] ** 2 * squared_distances(x, x))

    of, variance, count = batch_products(centred, order, batch, gram)
    own = np.einsum("gaa->ga", of)

    def compare(a: int, b: int) -> Pair:
        scale = np.sqrt(max(own[0, a], 0) * max(own[0, b], 0))
        deviation = np.sqrt(variance[a, b]) / scale if scale > 0 else np.nan
        series = _whole(alignment(of[:, a, b], own[:, a], own[:, b]))
        return Pair.with_moments(series, 0.0, deviation, few=len(series) == 1)

    units = [x.shape[1] for x in values]
    return compared(range(len(values)), compare, rows, columns, n=count * batch, units=units), own[0], count


def _biased_pair(cross, own, others, gram: Centred, other: Centred) -> Pair:
    mean, variance = centred_moments(gram, other)
    scale = np.sqrt(own[0] * others[0])
    return Pair.with_moments(_whole(alignment(cross, own, others)), mean / scale, np.sqrt(variance) / scale)


def _whole(series: np.ndarray) -> np.ndarray:
    """The series, without groups where too few samples would be left."""
    return series if np.isfinite(series).all() else series[:1]
