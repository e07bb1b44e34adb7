"""Slopes of answers along directions, per natural standard deviation, and the directions that chance would give."""

from __future__ import annotations

import numpy as np

from analysis.attribution import targets
from analysis.attribution.class_pairs import answer_of
from analysis.attribution.concepts import Concepts
from analysis.attribution.local_slopes import local_slope, rows_at
from analysis.spec import Progress


def pooled_rows(samples, at, progress: Progress, span) -> tuple[np.ndarray, np.ndarray]:
    """Mean rows (n, d) of the samples at these places, and in words what they are answered."""
    rows, said = [], []
    for k, i in enumerate(at):
        progress(span[0] + (span[1] - span[0]) * k / len(at), "reading samples of the concepts")
        run = samples.run(int(i))
        rows.append(rows_at(run).mean(axis=0))
        said.append(samples.word(answer_of(run)))
    return np.array(rows), np.array(said, dtype=str)


def own_slopes(samples, at, number: str, progress: Progress, span) -> tuple[np.ndarray, np.ndarray]:
    """Slopes (n, d) of each sample's own answer, all tokens together, and the answers (n,)."""
    found, answers = [], []
    for k, i in enumerate(at):
        progress(span[0] + (span[1] - span[0]) * k / len(at), "differentiating answers")
        run = samples.run(int(i))
        target = targets.logit_target(run.logits, number)
        found.append(local_slope(run, target).sum(axis=0))
        answers.append(target.answer)
    return np.array(found), np.array(answers)


def slope_cells(directions, covariance, slopes, answers, kept):
    """Means, share of positive slopes, standard error of the mean (directions, answers), and n (answers,): of slopes
    (n, d) of samples with `answers` (n,), for those `kept`, along `directions` (k, d)."""
    size = np.sqrt(np.maximum(np.einsum("kd,de,ke->k", directions, covariance, directions), 0.0))
    along = slopes @ directions.T * size
    own = [along[answers == c] for c in kept]
    error = [a.std(axis=0, ddof=1) / np.sqrt(len(a)) for a in own]
    return (np.stack([a.mean(axis=0) for a in own], axis=1), np.stack([(a > 0).mean(axis=0) for a in own], axis=1),
            np.stack(error, axis=1), np.array([len(a) for a in own]))  # fmt: skip


def chance_directions(found: Concepts, pooled, draws: int, rng: np.random.Generator) -> list[np.ndarray]:
    """(draws, d) random directions, and (draws, d) differences of random groups as large as those of the concepts."""
    n, d = pooled.shape
    random = rng.standard_normal((draws, d))
    sizes = rng.choice(np.where(found.members > 0, found.members, n // 2), size=draws)
    permuted = []
    for m in sizes:
        own = np.isin(np.arange(n), rng.permutation(n)[: min(int(m), n - 1)])
        permuted.append(pooled[own].mean(axis=0) - pooled[~own].mean(axis=0))
    return [v / np.maximum(np.linalg.norm(v, axis=1), 1e-300)[:, None] for v in (random, np.array(permuted))]
