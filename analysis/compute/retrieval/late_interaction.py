"""Samples as sets of descriptors: each token of the query takes its best match in an item, and the matches add up.

    s(query, item) = Σ_t max_p <q_t, p>          tokens of length 1: an item that is the query has their number

More descriptors can only raise a maximum, so large items win; two ways out:

    less chance    Σ_t (max_p <q_t, p> - E max of as many descriptors drawn from all items), exactly
    both ways      (mean over t of the best p + mean over p of the best t) / 2

With positions on a grid, matches may have to agree about one translation: the best shift Δ, with matches up to r cells
from it, Σ_t max(0, max_{|p - t - Δ| <= r} <q_t, p>).

References: O. Khattab & M. Zaharia (2020), "ColBERT"; D. Aiger, A. Araujo & S. Lynen (2023), "Yes, we CANN: Constrained
approximate nearest neighbors for local feature-based visual localization".
"""

from __future__ import annotations

import numpy as np

from analysis.compute.rows.token_sets import TokenSets

SUM, CHANCE, BOTH = "sum of the best", "less chance", "both ways"
SIZES = (SUM, CHANCE, BOTH)


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Rows (n, d) of length 1; zeros stay."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, length, out=np.zeros_like(x), where=length > 0)


def best(similar: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """(n, T) best match of each token of the query in each item, of `similar` (rows, T). O(rows T)."""
    return np.maximum.reduceat(similar, offsets[:-1], axis=0)


def expected_best(similar: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(n, T): mean of the largest of as many draws, with putting back, from all rows of `similar` (rows, T) as each
    item has descriptors, `counts` (n,). Exact: the m-th power of the empirical distribution."""
    ranked, n = np.sort(similar, axis=0), len(similar)
    sizes, which = np.unique(counts, return_inverse=True)
    edge = np.arange(n + 1) / n
    return np.stack([np.diff(edge**m) @ ranked for m in sizes])[which.reshape(-1)]


def item_scores(similar: np.ndarray, offsets: np.ndarray, size: str) -> np.ndarray:
    """(n,) of all items for one query, `similar` (rows, T)."""
    found = best(similar, offsets)
    if size == SUM:
        return found.sum(axis=1)
    if size == CHANCE:
        return (found - expected_best(similar, np.diff(offsets))).sum(axis=1)
    back = np.add.reduceat(similar.max(axis=1), offsets[:-1]) / np.diff(offsets)
    return (found.mean(axis=1) + back) / 2


def shifted_score(similar: np.ndarray, grid: tuple[int, int], reach: int) -> tuple[float, tuple[int, int]]:
    """The score of one item whose matches agree about a shift up to `reach` cells, and the shift (rows, columns), of
    `similar` (places of the query, places of the item). O(places² reach²)."""
    from scipy.ndimage import maximum_filter

    high, wide = grid
    at = np.arange(high * wide)
    down, along = (np.subtract.outer(v, v).T for v in divmod(at, wide))  # item's place less the query's
    table = np.full((high * wide, 2 * high - 1, 2 * wide - 1), -np.inf)
    table[at[:, None], down + high - 1, along + wide - 1] = similar
    if reach:
        window = (1, 2 * reach + 1, 2 * reach + 1)
        table = maximum_filter(table, size=window, mode="constant", cval=-np.inf)
    total = np.maximum(table, 0.0).sum(axis=0)
    top = np.unravel_index(int(total.argmax()), total.shape)
    return float(total[top]), (int(top[0]) - high + 1, int(top[1]) - wide + 1)


def query_scores(
    sets: TokenSets, units: np.ndarray, at: int, size: str, reach: int | None = None
) -> np.ndarray:
    """(n,) scores of all samples for the `at`-th as the query; `units` (rows, d) of length 1 in the sets' order.
    `reach`: matches agree about a shift up to so many cells, of samples that fill the grid."""
    similar = units @ units[sets.offsets[at] : sets.offsets[at + 1]].T
    if reach is None:
        return item_scores(similar, sets.offsets, size)
    lead = sets.leading
    parts = np.split(similar, sets.offsets[1:-1])
    return np.array([shifted_score(s[lead:, lead:].T, sets.grid, reach)[0] for s in parts])
