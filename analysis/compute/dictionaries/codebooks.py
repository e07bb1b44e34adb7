"""Codebooks: a row is the nearest of K entries, or a sum of one entry for each of several stages, each stage fitted to
what those before it leave over (residual quantisation). K entries name a row with log₂ K bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from analysis.compute.clusters.kmeans import kmeans

NOTHING = 1e-12  # share of the squares below which what is left is rounding
SETTLING = 3  # rounds in which a random codebook finds its one factor


def fitted_books(
    x: np.ndarray,
    sizes: Sequence[int],
    rng: np.random.Generator,
    starts: int = 1,
    tick: Callable[[int], None] = lambda stage: None,
) -> list[np.ndarray]:
    """One codebook (K, d) for each of `sizes`, by k-means on what the ones before leave over of the centred rows `x`
    (n, d). Fewer books where nothing is left, fewer entries where fewer rows differ. O(n K d) for each pass."""
    left, total, found = x.copy(), float((x**2).sum()), []
    for stage, size in enumerate(sizes):
        tick(stage)
        if float((left**2).sum()) <= NOTHING * total:
            break
        fit = kmeans(left, size, rng, starts)
        found.append(fit.centres)
        left -= fit.centres[fit.codes]
    return found


def nearest_entry(z: np.ndarray, book: np.ndarray) -> np.ndarray:
    """(n,) number of the entry of `book` (K, d) nearest to each row; ties to the lower."""
    return ((book**2).sum(axis=1) - 2 * (z @ book.T)).argmin(axis=1)


def left_by_stage(z: np.ndarray, books: Sequence[np.ndarray]) -> np.ndarray:
    """(n, stages) squared length of what is left of each row after each stage."""
    left, found = z.copy(), np.empty((len(z), len(books)))
    for stage, book in enumerate(books):
        left -= book[nearest_entry(left, book)]
        found[:, stage] = np.einsum("ij,ij->i", left, left)
    return found


def random_book(x: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """(size, d) entries drawn from a Gaussian with the covariance of the centred rows, times the one factor that fits
    them to these rows."""
    book = gaussian_like(x, size, rng)
    for _ in range(SETTLING):
        near = book[nearest_entry(x, book)]
        square = float((near**2).sum())
        if square:
            book = book * (float((near * x).sum()) / square)
    return book


def gaussian_like(x: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n, d) rows of a Gaussian with the covariance of the centred rows `x` (m, d), mean 0. O(n m d) or O(n d²)."""
    if len(x) <= x.shape[1]:
        return rng.standard_normal((n, len(x))) @ x / np.sqrt(len(x))
    values, axes = np.linalg.eigh(x.T @ x / len(x))
    return rng.standard_normal((n, x.shape[1])) * np.sqrt(np.maximum(values, 0)) @ axes.T


def least_for_gaussian(variances: np.ndarray, bits: float) -> float:
    """Share of the variance that any code of so many bits a row leaves of Gaussian rows with these principal
    `variances`, at least (Shannon 1959; reverse water-filling)."""
    falling = np.sort(np.maximum(variances, 0))[::-1]
    falling = falling[falling > 0]
    logs, asked = np.cumsum(np.log(falling)), 2 * bits * np.log(2)
    for used in range(len(falling), 0, -1):
        level = np.exp((logs[used - 1] - asked) / used)
        if level <= falling[used - 1]:
            return float((level * used + falling[used:].sum()) / falling.sum())
    return 1.0


def steepness(sizes: np.ndarray, left: np.ndarray) -> float:
    """Slope of ln `left` over ln `sizes`, least squares: -2 / d for rows that fill d dimensions evenly."""
    a = np.log(np.asarray(sizes, float))
    a -= a.mean()
    return float(a @ np.log(left) / (a @ a))


def perplexity(codes: np.ndarray, size: int) -> float:
    """exp of the entropy of the usage of `size` entries: how many are used, were they used alike."""
    share = np.bincount(codes, minlength=size) / len(codes)
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))
