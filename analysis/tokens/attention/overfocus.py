"""How attention is shared out among the tokens that receive it, and how far that drifts between versions of a sample.

Of a layer, heads averaged: Gini and top mass of what tokens receive, mean cosine of rows, entropy of rows; between two
versions the Jensen-Shannon divergence (bits), Spearman's correlation and the overlap of the top tenth of received mass.
"""

from __future__ import annotations

import numpy as np

from analysis.compute.linear.ranking_axes import spearman
from analysis.tokens.attention.heads import HeadReader
from analysis.tokens.attention.measures import COSINE, ENTROPY, GINI, Tally, gini
from analysis.tokens.attention.position_null import even_rows

TENTH = 0.1


def focus(reader: HeadReader) -> tuple[np.ndarray, np.ndarray]:
    """((L, n, 4) Gini, top mass, row cosine and entropy, (L, n, T) received mass, sums 1)."""
    told, mass = [], []
    for layer in range(reader.layers):
        tallies = [[Tally(m, reader.layout) for m in (GINI, COSINE, ENTROPY)] for _ in range(reader.heads)]
        for start, stop in reader.parts():
            for head, three in enumerate(tallies):
                rows = reader.rows(layer, head, start, stop)
                for tally in three:
                    tally.add(rows, start)
        told_, mass_ = _of_tallies(tallies, reader.layout.present)
        told.append(told_)
        mass.append(mass_)
    return np.array(told), np.array(mass)


def _of_tallies(tallies, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    got = np.sum([three[0].total for three in tallies], axis=0)
    got = got / np.maximum(got.sum(axis=1, keepdims=True), 1e-300)
    cosine, entropy = (np.mean([three[i].finish() for three in tallies], axis=0) for i in (1, 2))
    each = [
        (gini(g[there]), np.sort(g[there])[-top_of(there.sum()) :].sum())
        for g, there in zip(got, present, strict=True)
    ]
    return np.column_stack([np.array(each), cosine, entropy]), got


def top_of(n: int) -> int:
    """How many of n tokens are its top."""
    return max(1, round(TENTH * int(n)))


def drift(clean: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """(Jensen-Shannon divergence in bits, Spearman's correlation, share of top tokens that stay) of mass (T,)."""
    p, q = clean / clean.sum(), other / other.sum()
    middle = (p + q) / 2
    parts = [
        np.where(x > 0, x * np.log2(np.where(x > 0, x, 1) / np.where(middle > 0, middle, 1)), 0).sum()
        for x in (p, q)
    ]
    k = top_of(len(p))
    tops = [set(np.argsort(-x, kind="stable")[:k].tolist()) for x in (p, q)]
    rho = 1.0 if np.array_equal(p, q) else spearman(p, q)
    return max(float(sum(parts)) / 2, 0.0), rho, len(tops[0] & tops[1]) / k


def drifts(clean: np.ndarray, other: np.ndarray, present: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(L, n, 3) of mass (L, n, T), over tokens that are there in both."""
    both = present & others
    return np.array(
        [
            [drift(a[t], b[t]) for a, b, t in zip(x, y, both, strict=True)]
            for x, y in zip(clean, other, strict=True)
        ]
    )


def even_focus(reader: HeadReader) -> np.ndarray:
    """(4,) what attention that reads all alike gives, mean over samples."""
    three = [Tally(m, reader.layout) for m in (GINI, COSINE, ENTROPY)]
    for start, stop in reader.parts():
        rows = even_rows(reader.allowed(start, stop))
        for tally in three:
            tally.add(rows, start)
    return _of_tallies([three], reader.layout.present)[0].mean(axis=0)
