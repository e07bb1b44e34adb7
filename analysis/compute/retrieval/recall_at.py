"""Recall@N: is there a right answer among a query's N nearest samples?

Each sample queries all others. For a query with m candidates of which r are right, a random ranking has a right one
among the first N with probability 1 - C(m - r, N) / C(m, N), exactly. Ties count by the same formula: of t candidates
that are equally near, any order is equally likely, so that no row order can look like knowledge.

Reference: G. Berton et al. (2023), "EigenPlaces: Training viewpoint robust models for visual place recognition".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from analysis.compute.neighbours.squared_distances import SquaredDistances
from analysis.compute.retrieval.places import Places
from analysis.compute.statistics.nulls import bootstrap_mean
from analysis.results import Estimate
from analysis.spec import Progress, no_progress

BLOCK_BYTES = 8 << 20  # of one block of distances


@dataclass(frozen=True)
class Block:
    """Queries `rows` (m,) against all n: squared distances `square`, who is a `candidate`, and who of them `right`."""

    rows: np.ndarray
    square: np.ndarray
    candidate: np.ndarray
    right: np.ndarray


@dataclass(frozen=True)
class Ranked:
    """Per query (n,): `candidates`, `right` ones among them, how many candidates are `closer` than the nearest right
    one, how many are `tied` with it and how many of those are right; `nearest` candidate (-1: none) and whether it is
    right. `mean_distance` over all pairs of query and candidate."""

    candidates: np.ndarray
    right: np.ndarray
    closer: np.ndarray
    tied: np.ndarray
    tied_right: np.ndarray
    nearest: np.ndarray
    first_right: np.ndarray
    mean_distance: float

    @property
    def answerable(self) -> np.ndarray:
        """(q,) queries with a right answer."""
        return np.flatnonzero(self.right > 0)


def blocks(
    points: np.ndarray,
    places: Places,
    sequence: np.ndarray | None = None,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Iterator[Block]:
    """All queries, some at a time. `points` (n, d) whose Euclidean distances rank; `sequence` (n,): samples of the
    query's own sequence are no candidates. Time O(n² (d + k)), memory O(n d) and a few blocks of 8 MiB."""
    n, known = len(points), SquaredDistances(points)
    step = max(1, BLOCK_BYTES // (8 * n))
    for start in range(0, n, step):
        progress(span[0] + (span[1] - span[0]) * start / n, "ranking")
        rows = np.arange(start, min(start + step, n))
        candidate = np.ones((len(rows), n), bool) if sequence is None else sequence[rows, None] != sequence
        candidate[np.arange(len(rows)), rows] = False
        yield Block(rows, known.squares(rows), candidate, places.same(rows) & candidate)


def ranked(found: Iterator[Block], n: int) -> Ranked:
    """Where the nearest right answer of each of n queries stands."""
    out = np.zeros((6, n), dtype=np.int64)
    first, total = np.zeros(n, bool), 0.0
    for b in found:
        best = np.where(b.right, b.square, np.inf).min(axis=1)[:, None]
        tied = b.candidate & (b.square == best)
        away = np.where(b.candidate, b.square, np.inf)
        nearest = away.argmin(axis=1)
        has = b.candidate.any(axis=1)
        out[:, b.rows] = (
            b.candidate.sum(axis=1),
            b.right.sum(axis=1),
            (away < best).sum(axis=1),
            tied.sum(axis=1),
            (tied & b.right).sum(axis=1),
            np.where(has, nearest, -1),
        )
        first[b.rows] = b.right[np.arange(len(b.rows)), nearest]
        total += float(np.sqrt(b.square[b.candidate]).sum())
    return Ranked(*out, first, total / max(int(out[0].sum()), 1))


# ---------------------------------------------------------------------------- closed forms
def miss(m: np.ndarray, r: np.ndarray, at: np.ndarray) -> np.ndarray:
    """C(m - r, N) / C(m, N): chance that N of m drawn at random hold none of the r right ones; 1 for N <= 0 and 0 for
    N > m - r. Arrays that broadcast."""
    m, r, at = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (m, r, at)))
    inside = (at > 0) & (at <= m - r)
    m_, r_, n_ = m[inside], r[inside], at[inside]
    out = np.array(at <= 0, dtype=np.float64)
    log = gammaln(m_ - r_ + 1) - gammaln(m_ - r_ - n_ + 1) - gammaln(m_ + 1) + gammaln(m_ - n_ + 1)
    out[inside] = np.exp(np.minimum(log, 0.0))
    return out


def recalls(found: Ranked, at: np.ndarray) -> np.ndarray:
    """(q, len(at)) for every answerable query: 1 where a right answer is among the N nearest, a chance for ties."""
    q = found.answerable
    part = [v[q][:, None] for v in (found.tied, found.tied_right, found.closer)]
    return 1 - miss(part[0], part[1], at - part[2])


def chances(found: Ranked, at: np.ndarray) -> np.ndarray:
    """(q, len(at)): the same for a random ranking."""
    q = found.answerable
    return 1 - miss(found.candidates[q][:, None], found.right[q][:, None], at)


def places_asked(most: int, up_to: int) -> np.ndarray:
    """N = 1, 2, 5, 10, 20, 50 … up to `up_to`, and no more than the `most` candidates of any query."""
    steps = [b * 10**e for e in range(9) for b in (1, 2, 5)]
    return np.array([s for s in steps if s <= min(most, up_to)] or [1])


def recall_estimates(
    hits: np.ndarray, chance: np.ndarray, at: np.ndarray, d: int, rng: np.random.Generator
) -> tuple[Estimate, ...]:
    """Recall at each N with its interval and the null; `hits` and `chance` (q, len(at))."""
    low, high = bootstrap_mean(hits, rng, draws=500)
    null = chance.mean(axis=0)
    band = 1.96 * np.sqrt((chance * (1 - chance)).sum(axis=0)) / len(chance)
    return tuple(
        Estimate(
            f"recall at {n}", float(hits[:, j].mean()), min(float(low[j]), float(hits[:, j].mean())),
            max(float(high[j]), float(hits[:, j].mean())), interval="bootstrap over queries", null=float(null[j]),
            null_low=float(max(null[j] - band[j], 0.0)), null_high=float(min(null[j] + band[j], 1.0)),
            null_method="random ranking, exact (hypergeometric); band as if queries were independent",
            n=len(hits), d=d, estimator="share of the queries with a right answer among their N nearest",
        )
        for j, n in enumerate(at)
    )  # fmt: skip
