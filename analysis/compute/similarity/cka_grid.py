"""CKA of all pairs of several representations, by whichever inner products: a `Grid` beside its exact null.

linear    features of each tap once, a product of features for each pair (`hsic`)
kernel    Gaussian kernels of all taps together, in tiles (`hsic_kernel`)
batches   unbiased inner products of small batches (`hsic_batches`)
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product as product_of

import numpy as np

from analysis.compute.similarity.hsic import Scratch, Side, alignment, inner, null_deviation, side_of
from analysis.compute.similarity.hsic_batches import batch_products
from analysis.compute.similarity.hsic_kernel import bandwidth, kernel_products, squared_distances
from analysis.compute.similarity.known_products import KnownProducts, Own
from analysis.compute.similarity.similarity_grid import Grid, Pair, compared, groups_of
from analysis.compute.statistics.exchange_moments import Centred, centred_moments
from analysis.spec import Progress, no_progress


def linear_grid(
    values: Sequence[np.ndarray],
    rows: np.ndarray,
    columns: np.ndarray,
    rng: np.random.Generator,
    *,
    biased: bool = False,
    keys: Sequence[str] | None = None,
    progress: Progress = no_progress,
) -> tuple[Grid, np.ndarray]:
    """The grid, and the length (k,) of each representation (0: all of its samples are equally far from each other).

    With `keys`, one per tap that says what its values are made of, nothing is done twice: not a pair that was compared
    before on these samples, nor what a tap is to itself.

    Time O(n p q) for each new pair, O(n d min(n, d)) for each new tap, memory O(n Σ min(n, d)).
    """
    n = len(values[0])
    group = groups_of(n, rng)
    known, scratch = KnownProducts(keys, group), Scratch()
    sides = _needed_sides(values, rows, columns, known, group, scratch, progress)

    def compare(a: int, b: int) -> Pair:
        found = known.pair(a, b)
        if found is None:
            found = inner(sides[a], sides[b], scratch)
            known.add(a, b, found, *(Own(sides[i].own, sides[i].gram) for i in (a, b)))
        one, other = known.own(a) or sides[a], known.own(b) or sides[b]
        if biased:
            return _biased_pair(found.biased, one.own.biased, other.own.biased, one.gram, other.gram)
        series = alignment(found.unbiased, one.own.unbiased, other.own.unbiased)
        return Pair.with_moments(_whole(series), 0.0, null_deviation(n))

    try:
        grid = compared(
            range(len(values)), compare, rows, columns, n=n, units=[x.shape[1] for x in values],
            progress=progress, span=(0.4, 1.0),
        )  # fmt: skip
    finally:  # what a cancelled comparison has found serves the next
        known.save()
    return grid, np.array([(known.own(i) or sides[i]).own.unbiased[0] for i in range(len(values))])


def _needed_sides(values, rows, columns, known: KnownProducts, group, scratch, progress) -> dict[int, Side]:
    """The taps of which some pair, or what they are to themselves, is not known yet."""
    needed = {i for i in range(len(values)) if known.own(i) is None}
    for a, b in product_of(rows.tolist(), columns.tolist()):
        if a != b and known.pair(min(a, b), max(a, b)) is None:
            needed |= {a, b}
    sides = {}
    for count, i in enumerate(sorted(needed)):
        progress(0.3 + 0.1 * count / len(needed), "preparing taps")
        own = known.own(i)
        sides[i] = side_of(values[i], group, scratch, None if own is None else own.own)
    return sides


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
