"""Search in a gallery of which a part is embedded by one version of a model and the rest by another."""

from __future__ import annotations

import numpy as np

from analysis.compute.retrieval.gallery_search import Gallery, Task, blocks_of, ranking_scores
from analysis.spec import Progress, no_progress


def mixed_scores(
    task: Task,
    to_old: tuple[np.ndarray, np.ndarray],
    to_new: tuple[np.ndarray, np.ndarray],
    places: np.ndarray,
    counts: np.ndarray,
    measure: str,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray:
    """Score (len(counts), q) of each query when the first `counts` samples of an order are embedded anew, averaged over
    the orders.

    Parameters
    ----------
    to_old, to_new : (n, D) query points and (n, D) gallery points each: what a query is compared by with the part of
        the gallery that is old, and with the part that is new.
    places : (orders, g) place of each gallery sample in an order, from 0.
    counts : (m,) how many of them are new.

    Notes
    -----
    Time O(q g (D + m orders)), memory O(g D) and a few blocks of 8 MiB.
    """
    q, g = task.query, task.gallery
    known = [Gallery(points[g]) for _, points in (to_old, to_new)]
    out = np.zeros((len(counts), len(q)))
    for rows in blocks_of(task):
        old, new = (
            gallery.half_squares(points[q[rows]])
            for gallery, (points, _) in zip(known, (to_old, to_new), strict=True)
        )
        for i, count in enumerate(counts):
            share = (rows.start + (rows.stop - rows.start) * i / len(counts)) / max(len(q), rows.stop)
            progress(span[0] + (span[1] - span[0]) * share, "searching mixed galleries")
            distinct = places[:1] if count in (0, len(g)) else places  # all orders are one there
            for place in distinct:
                mixed = np.where(place < count, new, old)
                out[i, rows] += ranking_scores(task, rows, mixed, measure) / len(distinct)
    return out


def orders_of(of: np.ndarray, count: int, by_class: bool, rng: np.random.Generator) -> np.ndarray:
    """`count` random orders of gallery samples with classes `of` (g,): the place (count, g) of each; by class, the
    classes come one after the other."""
    out = np.empty((count, len(of)), np.int64)
    for line in out:
        first = rng.permutation(int(of.max()) + 1)[of] if by_class else np.zeros(len(of))
        line[np.lexsort((rng.random(len(of)), first))] = np.arange(len(of))
    return out
