"""A head held against one that knows places only: each sample beside what other samples' heads do at the same places.

    null_b = mean over samples b' != b of A_b', at the same queries and keys, among those that b has, made whole

A head that goes by places alone pays all samples the same attention and equals its null, whatever the measure. Where no
other sample has the query, the null reads all that may be read alike. One block of queries is held at a time.

Distances of n samples from the mean of the n - 1 others share these: two of them are one number, which says nothing of
its spread, and the usual interval holds too seldom below five (`others_interval`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.spec import no_progress
from analysis.tokens.attention.heads import HELD, HeadReader
from analysis.tokens.attention.measures import Tally


@dataclass(frozen=True)
class Measured:
    """`value`, `null` (L, H, n) of each sample, `even` (n,) where all that may be read is read alike. `ends`: low and
    high (L, H) of the means where these are no Student's t."""

    value: np.ndarray
    null: np.ndarray
    even: np.ndarray
    ends: tuple[np.ndarray, np.ndarray] | None = None


def even_rows(may: np.ndarray) -> np.ndarray:
    """(n, t, T) rows that read what they `may` alike."""
    return may / np.maximum(may.sum(axis=2, keepdims=True), 1)


def others_rows(rows: np.ndarray, may: np.ndarray) -> np.ndarray:
    """(n, t, T) the null of rows (n, t, T)."""
    others = np.maximum(rows.sum(axis=0) - rows, 0.0) * may
    whole = others.sum(axis=2, keepdims=True)
    return np.where(whole > 1e-9, others / np.where(whole > 0, whole, 1), even_rows(may))


FEWEST, Q = 5, 0.05  # samples whose distances from each other's mean have an interval; false discoveries


def others_interval(values: np.ndarray, least: float = -np.inf, most: float = np.inf) -> dict:
    """`mean_interval` of distances (n,) of samples from the mean of the others; below five it has none."""
    if len(values) < FEWEST:
        return {"interval": f"none: {len(values)} samples, each held against the others"}
    return mean_interval(values, least, most)


def measured(reader: HeadReader, measure: str, progress=no_progress, held: int = HELD) -> Measured:
    """One measure of all heads and samples, with what the same places alone would give."""
    shape = (reader.layers, reader.heads, reader.n)
    value, null = np.zeros(shape), np.zeros(shape)
    for layer in range(reader.layers):
        for head in range(reader.heads):
            progress((layer * reader.heads + head) / (reader.layers * reader.heads), "reading heads")
            own, places = Tally(measure, reader.layout), Tally(measure, reader.layout)
            for start, stop in reader.parts(held):
                rows = reader.rows(layer, head, start, stop)
                own.add(rows, start)
                places.add(others_rows(rows, reader.allowed(start, stop)), start)
            value[layer, head], null[layer, head] = own.finish(), places.finish()
    return Measured(value, null, even(reader, measure, held))


def even(reader: HeadReader, measure: str, held: int = HELD) -> np.ndarray:
    """(n,) the measure of attention that reads all alike."""
    tally = Tally(measure, reader.layout)
    for start, stop in reader.parts(held):
        tally.add(even_rows(reader.allowed(start, stop)), start)
    return tally.finish()


def beyond(found: Measured) -> np.ndarray:
    """(L, H) bool: value and null differ over samples, at 5 % false discoveries."""
    apart = found.value - found.null
    n = apart.shape[2]
    error = apart.std(axis=2, ddof=1) / np.sqrt(n)
    mean = np.abs(apart.mean(axis=2))
    t = np.where(
        error > 1e-12 * (1 + mean), mean / np.where(error > 0, error, 1), np.where(mean > 1e-9, 1e9, 0)
    )
    return benjamini_hochberg(2 * stdtr(n - 1, -t)) <= Q
