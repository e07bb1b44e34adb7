"""Viewpoint robustness: how alike two pictures of one place are, by how far the camera turned between them.

Similarity is 1 - distance / mean distance: 1 for equal activations, 0 for an average pair of samples. A model that is
robust to the viewpoint keeps it while the heading turns; pairs of different places show what the heading alone does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from analysis.compute.retrieval.recall_at import Block
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.ratios import ratio_interval
from analysis.results import Estimate

BIN, MOST_PAIRS = 30, 200_000  # degrees; pairs kept of each sort
NULL = "headings exchanged between samples"


@dataclass(frozen=True)
class Pairs:
    """Queries (p,), candidates (p,) and similarities (p,) of some pairs."""

    query: np.ndarray
    other: np.ndarray
    similarity: np.ndarray


@dataclass(frozen=True)
class HeadingCurve:
    """Per bin of heading difference that holds pairs of one place: its `middle` in degrees, mean similarity, interval,
    that of pairs of different places (NaN where there are none), and the number of `pairs`."""

    middle: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    elsewhere: np.ndarray
    pairs: np.ndarray


def heading_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Smallest turn between two headings in degrees, 0 to 180."""
    return np.abs((a - b + 180) % 360 - 180)


def some_pairs(
    found: Iterable[Block],
    scale: float,
    right: int,
    wrong: int,
    heading: np.ndarray,
    rng: np.random.Generator,
) -> tuple[Pairs, Pairs]:
    """Pairs of one place and pairs of different places, each a random part of about 200,000 where there are more.

    `scale`: mean distance. `right`, `wrong`: how many pairs of each sort there are. Pairs without a heading are left
    out. Memory O(pairs kept).
    """
    kept, known = ([], []), np.isfinite(heading)
    for b in found:
        allowed = known[b.rows, None] & known
        for out, mask, total in ((kept[0], b.right, right), (kept[1], b.candidate & ~b.right, wrong)):
            i, j = np.nonzero(mask & allowed)
            if total > MOST_PAIRS:
                chosen = rng.random(len(i)) < MOST_PAIRS / total
                i, j = i[chosen], j[chosen]
            out.append((b.rows[i], j, 1 - np.sqrt(b.square[i, j]) / scale))
    return tuple(Pairs(*(np.concatenate(column) for column in zip(*part, strict=True))) for part in kept)


def heading_curve(
    same: Pairs, different: Pairs, heading: np.ndarray, rng: np.random.Generator
) -> HeadingCurve:
    """Mean similarity by 30 degrees of turn, with a bootstrap over queries."""
    bins, n = 180 // BIN, len(heading)
    sums, counts = _by_query(same, heading, bins, n)
    total, elsewhere = (v.sum(axis=0) for v in _by_query(different, heading, bins, n))
    use = np.flatnonzero(counts.sum(axis=0) > 0)
    band = np.array([ratio_interval(sums[:, b], counts[:, b], rng, draws=300) for b in use]).reshape(-1, 2)
    value = sums[:, use].sum(axis=0) / counts[:, use].sum(axis=0)
    null = np.divide(total, elsewhere, out=np.full(bins, np.nan), where=elsewhere > 0)[use]
    return HeadingCurve(use * BIN + BIN / 2, value, band[:, 0], band[:, 1], null, counts[:, use].sum(axis=0))


def _by_query(pairs: Pairs, heading: np.ndarray, bins: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, bins) sums of similarities, and how many."""
    turn = heading_difference(heading[pairs.query], heading[pairs.other])
    key = pairs.query * bins + np.minimum(turn // BIN, bins - 1).astype(np.int64)
    shape = {"minlength": n * bins}
    sums = np.bincount(key, weights=pairs.similarity, **shape).reshape(n, bins)
    return sums, np.bincount(key, **shape).reshape(n, bins).astype(np.float64)


def turn_estimate(
    same: Pairs, heading: np.ndarray, d: int, rng: np.random.Generator, draws: int = 199
) -> tuple[Estimate, ...]:
    """How much similarity a turn by 90 degrees costs: minus the least-squares slope over pairs of one place. Nothing
    where all turns are equal."""
    turn = heading_difference(heading[same.query], heading[same.other]) / 90
    if len(turn) < 3 or np.ptp(turn) == 0:
        return ()
    value = -_slope(turn, same.similarity)
    null, known = np.empty(draws), np.flatnonzero(np.isfinite(heading))
    for b in range(draws):
        moved = heading.copy()
        moved[known] = heading[rng.permutation(known)]
        null[b] = -_slope(heading_difference(moved[same.query], moved[same.other]) / 90, same.similarity)
    queries, first = np.unique(same.query, return_index=True)
    terms = np.stack([np.ones_like(turn), turn, same.similarity, turn**2, turn * same.similarity], axis=1)
    terms = np.add.reduceat(terms, first, axis=0)  # queries rise
    drawn = []
    for _ in range(300):
        c, x, y, xx, xy = terms[rng.integers(len(terms), size=len(terms))].sum(axis=0)
        if xx * c - x * x > 1e-12 * xx * c:
            drawn.append(-(xy * c - x * y) / (xx * c - x * x))
    low, high = np.percentile(drawn, [2.5, 97.5]) if drawn else (value, value)
    return (
        Estimate(
            "similarity lost by turning 90 degrees", value, min(float(low), value), max(float(high), value),
            interval="bootstrap over queries", null_method=f"{NULL}, {draws} times", n=len(queries), d=d,
            estimator=f"least squares over {len(turn):,} pairs of one place", unit="of an average distance",
            **against(value, null),
        ),
    )  # fmt: skip


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    x = x - x.mean()
    spread = float(x @ x)
    return float(x @ y) / spread if spread > 0 else 0.0
