"""Retrieval from a gallery: how well each query's ranking of the gallery puts the answers of its own class first.

recall@1             the chance that the nearest candidate is right
average precision    mean over the right answers of the share of right ones down to their place, (1 / r) Σ R_k / k

Candidates that are equally near count by the mean over all their orders, so that no row order can look like knowledge
(F. McSherry & M. Najork 2008). Of a random ranking of m candidates with r right ones, both are known exactly:

    E recall@1 = r / m,    E AP = (H_m + (r - 1) / (m - 1) (m - H_m)) / m,    H_m = 1 + 1/2 + … + 1/m

References: F. McSherry & M. Najork (2008), "Computing information retrieval performance measures efficiently in the
presence of tied scores"; Y. Bestgen (2015), "Exact expected average precision of the random baseline".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import digamma

from analysis.compute.neighbours.neighbours import distinct
from analysis.spec import Progress, no_progress

BLOCK_BYTES = 8 << 20  # of one block of distances
RECALL, PRECISION = "recall@1", "mAP"
MEASURES = (RECALL, PRECISION)


@dataclass(frozen=True)
class Task:
    """Who asks and who answers: numbers of the samples that are `query` (q,) and `gallery` (g,), and the class `of`
    (n,) of every sample. A sample is no answer to itself."""

    query: np.ndarray
    gallery: np.ndarray
    of: np.ndarray

    def candidates(self, rows: slice) -> np.ndarray:
        """(m, g) bool."""
        return self.query[rows, None] != self.gallery

    def right(self, rows: slice) -> np.ndarray:
        """(m, g) bool, candidates only."""
        return (self.of[self.query[rows], None] == self.of[self.gallery]) & self.candidates(rows)

    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Candidates and right answers of each query, (q,) each. O(n)."""
        itself = np.isin(self.query, self.gallery)
        of_class = np.bincount(self.of[self.gallery], minlength=int(self.of.max()) + 1)
        return len(self.gallery) - itself, of_class[self.of[self.query]] - itself

    def answerable(self) -> Task:
        """The task without queries that have no right answer."""
        return Task(self.query[self.counts()[1] > 0], self.gallery, self.of)


class Gallery:
    """Points (g, d) to be found; equal ones are done once, so that ties between them are exact."""

    def __init__(self, points: np.ndarray) -> None:
        self.group, first = distinct(points)
        self.points = points[first]
        self.half = np.einsum("ij,ij->i", self.points, self.points) / 2

    def half_squares(self, queries: np.ndarray) -> np.ndarray:
        """Half of the squared distances (m, g) of `queries` (m, d); of unit vectors that is 1 - cosine."""
        out = queries @ self.points.T
        np.subtract(self.half, out, out=out)
        out += np.einsum("ij,ij->i", queries, queries)[:, None] / 2
        return out[:, self.group]


def blocks_of(task: Task):
    """Slices of queries whose distances fit a block."""
    step = max(1, BLOCK_BYTES // (8 * max(len(task.gallery), 1)))
    return (slice(start, min(start + step, len(task.query))) for start in range(0, len(task.query), step))


def scores(
    task: Task,
    queries: np.ndarray,
    gallery: np.ndarray,
    measure: str,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray:
    """The measure (q,) of every query, each with a right answer. `queries` (q, d), `gallery` (g, d).

    Time O(q g d), for mAP also O(q g ln g); memory O(g d) and a few blocks of 8 MiB.
    """
    known, out = Gallery(gallery), np.empty(len(task.query))
    for rows in blocks_of(task):
        progress(span[0] + (span[1] - span[0]) * rows.start / len(out), "searching the gallery")
        out[rows] = ranking_scores(task, rows, known.half_squares(queries[rows]), measure)
    return out


def ranking_scores(task: Task, rows: slice, distance: np.ndarray, measure: str) -> np.ndarray:
    """The measure (m,) of the queries `rows` by their `distance` (m, g) to the gallery."""
    distance = np.where(task.candidates(rows), distance, np.inf)
    right = task.right(rows)
    return _first_right(distance, right) if measure == RECALL else average_precision(distance, right)


def _first_right(distance: np.ndarray, right: np.ndarray) -> np.ndarray:
    nearest = distance == distance.min(axis=1)[:, None]
    return (nearest & right).sum(axis=1) / nearest.sum(axis=1)


def average_precision(distance: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(m,) from distances and right answers (m, g), at least one right in each line; ties by their mean over orders:
    of t tied candidates with a right ones behind s others with b right ones, the place s + i (i = 1 … t) holds

        a / t (b + 1 + (i - 1) (a - 1) / (t - 1)) / (s + i)    on average.
    """
    order = np.argsort(distance, axis=1)
    distance = np.take_along_axis(distance, order, axis=1)
    found = np.cumsum(np.take_along_axis(right, order, axis=1), axis=1)
    place = np.arange(distance.shape[1])
    new = np.ones(distance.shape, bool)
    new[:, 1:] = distance[:, 1:] != distance[:, :-1]
    start = np.maximum.accumulate(np.where(new, place, 0), axis=1)
    last = np.where(np.roll(new, -1, axis=1), place, len(place) - 1)
    last[:, -1] = len(place) - 1
    end = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    before = np.where(start > 0, np.take_along_axis(found, np.maximum(start - 1, 0), axis=1), 0)
    inside, size = np.take_along_axis(found, end, axis=1) - before, end - start + 1
    more = (place - start) * (inside - 1) / np.maximum(size - 1, 1)
    return (inside / size * (before + 1 + more) / (place + 1)).sum(axis=1) / found[:, -1]


def chance(task: Task, measure: str) -> np.ndarray:
    """(q,) what a random ranking gives on average, exactly."""
    m, r = (c.astype(np.float64) for c in task.counts())
    if measure == RECALL:
        return r / m
    harmonic = digamma(m + 1) - digamma(1.0)
    return (harmonic + (r - 1) / np.maximum(m - 1, 1) * (m - harmonic)) / m


def chance_by_class(task: Task, measure: str) -> tuple[float, float]:
    """Mean over the queries of a random ranking, and its standard deviation when all queries of a class are right or
    wrong together, as they are when one model's classes lie where another has other classes."""
    expected, classes = chance(task, measure), task.of[task.query]
    share = np.bincount(classes) / len(classes)
    each = np.bincount(classes, weights=expected) / np.maximum(np.bincount(classes), 1)
    return float(expected.mean()), float(np.sqrt((share**2 * each * (1 - each)).sum()))


def chance_alone(task: Task, measure: str) -> tuple[float, float]:
    """Mean over the queries of a random ranking, and its standard deviation when the classes of *one* embedding are
    given to other samples: queries go their own ways but for those that are each other's nearest, hence at most twice
    the variance of independent ones (classes of like size)."""
    expected = chance(task, measure)
    return float(expected.mean()), float(np.sqrt(2 * (expected * (1 - expected)).sum()) / len(expected))


def margins(task: Task, queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """(q,) halved squared distance of the nearest wrong candidate less that of the nearest right one: positive where
    the query finds its class; 0 where there is no wrong one. O(q g d)."""
    known, out = Gallery(gallery), np.zeros(len(task.query))
    for rows in blocks_of(task):
        distance, right = known.half_squares(queries[rows]), task.right(rows)
        wrong = task.candidates(rows) & ~right
        nearest = [np.where(who, distance, np.inf).min(axis=1) for who in (wrong, right)]
        out[rows] = np.where(wrong.any(axis=1), nearest[0] - nearest[1], 0.0)
    return out
