"""Two ways to rank the same items for the same queries: what each finds, and how much they agree."""

from __future__ import annotations

import numpy as np

from analysis.compute.retrieval.gallery_search import (
    MEASURES,
    PRECISION,
    Task,
    chance_alone,
    ranking_scores,
)
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.results import Estimate


def ranks(scores: np.ndarray) -> np.ndarray:
    """(n,) places from 1 by falling score; -inf last; ties by their order."""
    place = np.empty(len(scores), np.int64)
    place[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return place


def found_by(task: Task, scores: np.ndarray, measure: str) -> np.ndarray:
    """(q,) the measure of every query with a right answer, by falling `scores` (q, n) of all samples."""
    return ranking_scores(task, slice(0, len(task.query)), -scores, measure)


def retrieval_estimates(of: np.ndarray, query: np.ndarray, ways: dict[str, np.ndarray], d: int):
    """Recall@1 and mAP by class numbers `of` (n,), -1 for none, of each way's scores (q, n), and of mAP the first way
    less the second. Queries without a right answer ask nothing; no estimate where fewer than three ask."""
    every = np.flatnonzero(of >= 0)
    task = Task(query[of[query] >= 0], every, of)
    right = task.counts()[1] > 0
    task = Task(task.query[right], every, of)
    if len(task.query) < 3:
        return ()
    at = np.flatnonzero(np.isin(query, task.query))
    made, precision = [], []
    for name, scores in ways.items():
        for measure in MEASURES:
            each = found_by(task, scores[at][:, every], measure)
            mean, error = chance_alone(task, measure)
            interval = mean_interval(each, 0.0, 1.0) if measure == PRECISION else share_interval(each)
            made.append(Estimate(
                f"{name}: {measure}", float(each.mean()), **interval, null=mean, n=len(each), d=d,
                null_low=max(mean - 1.96 * error, 0.0), null_high=min(mean + 1.96 * error, 1.0),
                null_method="random rankings, exact", estimator="all other labelled samples ranked, ties by their mean",
            ))  # fmt: skip
            if measure == PRECISION:
                precision.append(each)
    if len(precision) == 2:
        gain, (one, two) = precision[0] - precision[1], tuple(ways)
        made.append(Estimate(
            f"mAP: {one} less {two}", float(gain.mean()), **mean_interval(gain, -1.0, 1.0), null=0.0, n=len(gain), d=d,
            null_method="two rankings that are equally good", estimator="the same queries both times",
        ))  # fmt: skip
    return tuple(made)


def agreement_estimate(query: np.ndarray, one: np.ndarray, two: np.ndarray, d: int) -> Estimate:
    """Spearman's correlation of two scores (q, n) over the items of each query, itself left out."""
    found = []
    for i, at in enumerate(query):
        a, b = (_average_ranks(np.delete(s[i], at)) for s in (one, two))
        size = a.std() * b.std()
        found.append(float(((a - a.mean()) * (b - b.mean())).mean() / size) if size > 0 else 0.0)
    found = np.clip(found, -1.0, 1.0)
    return Estimate("agreement of the two rankings", float(found.mean()), **mean_interval(found, -1.0, 1.0), null=0.0,
                    null_method="rankings that know nothing of each other", n=len(found), d=d,
                    estimator="Spearman's correlation over items, mean over queries")  # fmt: skip


def _average_ranks(x: np.ndarray) -> np.ndarray:
    _, which, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[which.reshape(-1)]
