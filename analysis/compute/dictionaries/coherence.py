"""How alike the directions of a dictionary are, and how alike they must be.

k unit directions in d dimensions have a pair with |cos| >= sqrt((k - d) / (d (k - 1))) where k > d (Welch 1974). Random
ones lie far above that: the cosine t of two is such that t² has the law Beta(1/2, (d - 1)/2), so that the largest of
k - 1 of them is below t with probability F(t)^(k - 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betainc, betaincinv

if TYPE_CHECKING:
    from scipy.sparse import csr_array

BLOCK_BYTES = 64 << 20


def welch_bound(k: int, d: int) -> float:
    """Least possible coherence of k directions in d dimensions."""
    return float(np.sqrt((k - d) / (d * (k - 1)))) if k > d else 0.0


def unit_rows(directions: np.ndarray) -> np.ndarray:
    """`directions` (k, d) at length 1, float32; rows of length 0 stay."""
    wide = np.asarray(directions, np.float64)
    size = np.sqrt((wide**2).sum(axis=1, keepdims=True))
    return (wide / np.where(size > 0, size, 1)).astype(np.float32)


def random_directions(k: int, d: int, rng: np.random.Generator) -> np.ndarray:
    """(k, d) float32, uniform on the sphere."""
    return unit_rows(rng.standard_normal((k, d), dtype=np.float32))


@dataclass(frozen=True)
class Nearest:
    """`of` (k,) the other direction nearest to each (-1 where there is none), and `cosine` (k,) to it."""

    of: np.ndarray
    cosine: np.ndarray


def nearest(directions: np.ndarray, signed: bool = True, among: np.ndarray | None = None) -> Nearest:
    """Of the directions (k, d): the largest cosine, or |cosine| where not `signed`. O(k² d), in blocks.

    `among` (k,) bool: only these are neighbours of others.
    """
    u = unit_rows(directions)
    k = len(u)
    of, cosine = np.full(k, -1), np.zeros(k)
    out = np.zeros(k, bool) if among is None else ~among
    for start, block in _blocks(u, signed):
        here = np.arange(start, start + len(block))
        block[:, out] = -np.inf
        block[np.arange(len(block)), here] = -np.inf
        best = block.argmax(axis=1)
        value = block[np.arange(len(block)), best]
        of[here] = np.where(np.isfinite(value), best, -1)
        cosine[here] = np.where(np.isfinite(value), np.clip(value, -1, 1), 0)
    return Nearest(of, cosine)


def coherence(directions: np.ndarray) -> float:
    """Largest |cosine| of two different directions; 0 of a single one."""
    return float(nearest(directions, signed=False).cosine.max())


def coherence_together(directions: np.ndarray, counts: csr_array | np.ndarray, fewest: int) -> float:
    """The same of two features that are active together in `fewest` rows or more; `counts` (k, k)."""
    from scipy.sparse import issparse

    largest = 0.0
    for start, block in _blocks(unit_rows(directions), False):
        own = counts[start : start + len(block)]
        row, column = (own >= fewest).nonzero() if issparse(own) else np.nonzero(own >= fewest)
        other = row + start != column
        if other.any():
            largest = max(largest, float(block[row[other], column[other]].max()))
    return min(largest, 1.0)


def _blocks(u: np.ndarray, signed: bool):
    step = max(1, BLOCK_BYTES // (4 * len(u)))
    for start in range(0, len(u), step):
        block = u[start : start + step] @ u.T
        yield start, block if signed else np.abs(block, out=block)


def cosine_below(t: np.ndarray, d: int) -> np.ndarray:
    """P(cos <= t) of two random directions in d dimensions."""
    t = np.asarray(t, np.float64)
    if d < 2:
        return np.where(t >= 1, 1.0, 0.5)
    return 0.5 + 0.5 * np.sign(t) * betainc(0.5, (d - 1) / 2, np.minimum(t**2, 1))


def nearest_by_chance(k: int, d: int) -> float:
    """Median cosine of the nearest of k - 1 random directions in d dimensions."""
    if d < 2 or k < 2:
        return 1.0 if k > 1 else 0.0
    p = 0.5 ** (1 / (k - 1))
    return float(np.sign(p - 0.5) * np.sqrt(betaincinv(0.5, (d - 1) / 2, abs(2 * p - 1))))


def nearest_p(cosine: np.ndarray, k: int, d: int) -> np.ndarray:
    """P that the nearest of k - 1 random directions is at least so near; by the tail, exact for small p."""
    cosine = np.asarray(cosine, np.float64)
    if d < 2 or k < 2:
        return np.ones(cosine.shape)
    tail = 0.5 * betainc((d - 1) / 2, 0.5, 1 - np.minimum(cosine**2, 1))
    above = np.where(cosine >= 0, tail, 1 - tail)
    with np.errstate(divide="ignore"):
        return -np.expm1((k - 1) * np.log1p(-np.minimum(above, 1 - 1e-16)))
