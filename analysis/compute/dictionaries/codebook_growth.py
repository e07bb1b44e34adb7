"""What codebooks of growing size leave of rows that they were not fitted to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.compute.dictionaries.codebooks import (
    fitted_books,
    left_by_stage,
    nearest_entry,
    perplexity,
    random_book,
    steepness,
)

KMEANS, RESIDUAL, SHAKEN, RANDOM = (
    "k-means codebook",
    "residual codebook",
    "shaken codebook",
    "random codebook",
)
EXACT = 1e-9  # share of the squares below which nothing is left


@dataclass(frozen=True)
class Growth:
    """`left` (rows, places) squares left of each held-out row, `total` (rows,) its squares, `entries` kept and `bits`
    a row (places,), NaN where it is not known; `used`, how many entries of the last codebook the held-out rows use, as
    if all used alike (perplexity)."""

    left: np.ndarray
    total: np.ndarray
    entries: np.ndarray
    bits: np.ndarray
    used: float = np.nan

    @property
    def share(self) -> np.ndarray:
        """(places,) of the squares that is left."""
        return self.left.sum(axis=0) / self.total.sum()

    def slope(self, keep: np.ndarray | None = None) -> float | None:
        """Of ln left over ln entries for the upper half of the sizes; None where fewer than two leave anything."""
        rows = slice(None) if keep is None else keep
        share = self.left[rows].sum(axis=0) / max(float(self.total[rows].sum()), np.finfo(float).tiny)
        use = np.flatnonzero(share > EXACT)
        use = use[len(use) // 2 :] if len(use) > 3 else use
        return steepness(self.entries[use], share[use]) if len(use) > 1 else None


def grown(
    fit: np.ndarray,
    test: np.ndarray,
    sizes: np.ndarray,
    stages: tuple[int, int],
    rng: np.random.Generator,
    tick: Callable[[float], None] = lambda share: None,
) -> dict[str, Growth]:
    """k-means codebooks of `sizes`, and a residual one of `stages` (how many, entries of each), fitted to the centred
    rows `fit` (n, d) and judged on `test` (m, d). O(n K d) for each pass."""
    total, left, book = (test**2).sum(axis=1), [], fit[:0]
    for i, size in enumerate(sizes):
        tick(0.7 * i / len(sizes))
        book = _book(fit, int(size), rng)
        left.append(_left(test, book))
    used = perplexity(nearest_entry(test, book), len(book))
    found = {KMEANS: Growth(np.stack(left, axis=1), total, sizes, np.log2(sizes), used)}
    many, each = stages
    if len(fit) >= each:
        books = fitted_books(fit, [each] * many, rng, 1, lambda m: tick(0.7 + 0.3 * m / many))
        found[RESIDUAL] = staged(test, books)
    return found


def unfitted(
    fit: np.ndarray, test: np.ndarray, sizes: np.ndarray, noise: float, rng: np.random.Generator
) -> dict[str, Growth]:
    """Codebooks of `sizes` that are worse on purpose: k-means centres moved by Gaussian noise of `noise` times the root
    mean squared distance of a row to its own, and draws of a Gaussian of the same covariance."""
    total, found = (test**2).sum(axis=1), {SHAKEN: [], RANDOM: []}
    for size in map(int, sizes):
        book = _book(fit, size, rng)
        far = np.sqrt(_left(fit, book).mean() / fit.shape[1])
        found[SHAKEN].append(_left(test, book + noise * far * rng.standard_normal(book.shape)))
        found[RANDOM].append(_left(test, random_book(fit, size, rng)))
    return {k: Growth(np.stack(v, axis=1), total, sizes, np.log2(sizes)) for k, v in found.items()}


def staged(test: np.ndarray, books: list[np.ndarray]) -> Growth:
    """After each stage of a residual codebook."""
    sizes = np.array([len(b) for b in books])
    return Growth(
        left_by_stage(test, books), (test**2).sum(axis=1), np.cumsum(sizes), np.cumsum(np.log2(sizes))
    )


def side_by_side(
    series: dict[str, Growth], null: list[dict[str, Growth]], by_bits: bool
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """All places (p,) of entries or bits, what each series explains there (p,), NaN where it has no place, and the mean
    of the draws of `null`, interpolated between its places. Series without a known place are left out."""

    def at(growth: Growth) -> np.ndarray:
        return np.asarray(growth.bits if by_bits else growth.entries, float)

    places = np.concatenate([at(g) for g in (*series.values(), *null[0].values())])
    places = np.unique(places[np.isfinite(places)])

    def put(growth: Growth) -> np.ndarray:
        y, known = np.full(len(places), np.nan), np.isfinite(at(growth))
        y[np.searchsorted(places, at(growth)[known])] = 1 - growth.share[known]
        return y

    def between(growth: Growth) -> np.ndarray:
        return np.interp(places, at(growth), 1 - growth.share, left=np.nan, right=np.nan)

    drawn = {k: put(g) for k, g in series.items() if np.isfinite(at(g)).any()}
    return places, drawn, {k: np.mean([between(d[k]) for d in null], axis=0) for k in null[0] if k in drawn}


def _book(x: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    return (fitted_books(x, [size], rng) or [np.zeros((1, x.shape[1]))])[0]


def _left(z: np.ndarray, book: np.ndarray) -> np.ndarray:
    return ((z - book[nearest_entry(z, book)]) ** 2).sum(axis=1)
