"""How the mass of attention grows with the context: over nested parts of the tokens of a sample, m of them,

    row mass        Σ_i Σ_j A_ij / max_j A_ij       1 a row where one key has all, m where all are read alike
    distance        Σ_i Σ_j exp(-|q_i - k_j|² / 2σ²), σ² = 1 / scale, so that exp(s q·k) is it times
                    exp(s |q|² / 2) exp(s |k|² / 2)

both between about m and m². The slope of log mass on log m is 1 where each query has a few keys however many there are,
and 2 where all are alike. Parts are the first m tokens of a text, and m at random of others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from analysis.tokens.attention.heads import HELD, HeadReader
from analysis.tokens.attention.measures import keys_for
from analysis.tokens.attention.memory import like_both

LEAST, SIZES = 4, 6  # tokens in the smallest part, parts
NOT_DRAWN = (
    "The network pays other weights than softmax(q k') (windows, masks), of which the Gaussian heads have none: that "
    "it is sparser than these may be its windows alone."
)


def ranks(layout, rng: np.random.Generator) -> np.ndarray:
    """(n, T) in which order tokens come into the context; T for padding."""
    there = layout.present
    place = np.where(there, np.cumsum(there, axis=1) - 1, there.shape[1])
    if layout.causal:
        return place
    for b in range(len(there)):
        place[b, there[b]] = rng.permutation(int(there[b].sum()))
    return place


def sizes_of(layout) -> np.ndarray:
    """(n, s) sizes of the parts of each sample, rising to its length by the same factor."""
    length = layout.present.sum(axis=1)
    lowest = np.minimum(np.maximum(length / 16, LEAST), length / 2)
    return np.maximum(np.rint(np.geomspace(lowest, length, SIZES, axis=1)), 1).astype(int)


def row_mass(rows: np.ndarray) -> np.ndarray:
    """(...) mass of rows (..., T) in units of their largest weight, 1 where nothing is left of them."""
    top = rows.max(axis=-1)
    return np.where(top > 0, rows.sum(axis=-1) / np.where(top > 0, top, 1), 1.0)


def needs(mass: float) -> Callable:
    """The fewest keys of a row that hold this share of it."""
    return lambda rows: keys_for(rows, mass)


def over_contexts(
    reader: HeadReader,
    layer: int,
    head: int,
    rank: np.ndarray,
    sizes: np.ndarray,
    tell: Callable,
    held: int = HELD,
) -> tuple[np.ndarray, np.ndarray]:
    """((n, s) sums over queries of what `tell` says of rows, (n, s) queries) in parts of `sizes` (n, s) tokens."""
    total, count = np.zeros(sizes.shape), np.zeros(sizes.shape)
    for start, stop in reader.parts(held):
        rows = reader.rows(layer, head, start, stop)
        for k in range(sizes.shape[1]):
            inside = rank < sizes[:, k, None]
            asked = inside[:, start:stop]
            total[:, k] += (tell(rows * inside[:, None]) * asked).sum(axis=1)
            count[:, k] += asked.sum(axis=1)
    return total, count


def kernel_mass(
    reader: HeadReader, layer: int, head: int, rank: np.ndarray, sizes: np.ndarray, held: int = HELD
) -> np.ndarray:
    """(n, s) sums of the distance kernel over all pairs in parts of `sizes` (n, s) tokens."""
    total = np.zeros(sizes.shape)
    q, k = (x[layer][:, head].astype(np.float64) for x in (reader.queries, reader.keys))
    scale = q.shape[2] ** -0.5 if reader.scale is None else reader.scale
    squared = np.square(k).sum(axis=2)[:, None]
    for start, stop in reader.parts(held):
        part = q[:, start:stop]
        apart = np.square(part).sum(axis=2)[:, :, None] + squared - 2 * part @ k.transpose(0, 2, 1)
        near = np.exp(-0.5 * scale * np.maximum(apart, 0.0))
        for j in range(sizes.shape[1]):
            inside = rank < sizes[:, j, None]
            total[:, j] += (near * inside[:, None] * inside[:, start:stop, None]).sum(axis=(1, 2))
    return total


def slopes(sizes: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """(n,) least squares of log mass on log size, each (n, s)."""
    x, y = np.log(sizes), np.log(np.maximum(mass, 1e-300))
    x = x - x.mean(axis=1, keepdims=True)
    return (x * y).sum(axis=1) / np.square(x).sum(axis=1)


def gaussian(reader: HeadReader, rng: np.random.Generator) -> HeadReader:
    """Heads whose queries and keys are Gaussian, of the same joint mean and covariance in each sample."""
    queries, keys = ([np.zeros(x.shape) for x in kept] for kept in (reader.queries, reader.keys))
    for layer in range(reader.layers):
        for b, there in enumerate(reader.layout.present):
            for head in range(reader.heads):
                own = (x[layer][b, head, there].astype(np.float64) for x in (reader.queries, reader.keys))
                made = like_both(*own, rng, reader.mean_first)
                queries[layer][b, head, there], keys[layer][b, head, there] = made
    return replace(reader, queries=queries, keys=keys, weights=None)
