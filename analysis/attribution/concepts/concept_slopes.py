"""Slopes of answers along directions, per natural standard deviation, and what directions of chance would give.

Where all samples have as many tokens a direction has its own part for every token (as TCAV's, which are of flattened
activations); else all tokens are moved alike.
"""

from __future__ import annotations

import numpy as np

from analysis.attribution import targets
from analysis.attribution.concepts.concepts import Concepts
from analysis.attribution.local_slopes import local_slope, rows_at
from analysis.attribution.patches.class_pairs import answer_of
from analysis.spec import Progress


def sample_rows(samples, at, progress: Progress, span) -> tuple[list[np.ndarray], np.ndarray]:
    """[(tokens, d)] of the samples at these places, and in words what they are answered."""
    rows, said = [], []
    for k, i in enumerate(at):
        progress(span[0] + (span[1] - span[0]) * k / len(at), "reading samples of the concepts")
        run = samples.run(int(i))
        rows.append(rows_at(run))
        said.append(samples.word(answer_of(run)))
    return rows, np.array(said, dtype=str)


def own_slopes(samples, at, number: str, progress: Progress, span) -> tuple[list[np.ndarray], np.ndarray]:
    """Slopes [(tokens, d)] of each sample's own answer, and the answers (n,)."""
    found, answers = [], []
    for k, i in enumerate(at):
        progress(span[0] + (span[1] - span[0]) * k / len(at), "differentiating answers")
        run = samples.run(int(i))
        target = targets.logit_target(run.logits, number)
        found.append(local_slope(run, target))
        answers.append(target.answer)
    return found, np.array(answers)


def flattened(rows: list[np.ndarray], slopes: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, int]:
    """Rows (n, D), slopes (m, D) and the number of tokens that they keep apart: 1 where samples differ in it."""
    tokens = {len(r) for r in (*rows, *slopes)}
    if len(tokens) > 1:
        return np.array([r.mean(axis=0) for r in rows]), np.array([s.sum(axis=0) for s in slopes]), 1
    return np.array([r.ravel() for r in rows]), np.array([s.ravel() for s in slopes]), tokens.pop()


def along(directions: np.ndarray, rows: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """(m, k): slopes (m, D) along directions (k, D) of length 1, each times the spread of rows (n, D) along it."""
    return slopes @ directions.T * (rows @ directions.T).std(axis=0, ddof=1)


def along_random(rows: np.ndarray, slopes: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """(m, draws): the same along directions uniform on the sphere, by their products with rows and slopes alone.

    A direction is drawn in the span of both, r-dimensional; of what is orthogonal to it only the length matters, which
    is drawn too. O((n + m)² D), and nothing of size draws D.
    """
    both = np.vstack([rows, slopes])
    values, vectors = np.linalg.eigh(both @ both.T)
    kept = values > 1e-12 * max(values[-1], 1e-300)
    drawn = rng.standard_normal((int(kept.sum()), draws))
    beyond = both.shape[1] - len(drawn)
    length = (drawn**2).sum(axis=0) + (rng.chisquare(beyond, draws) if beyond > 0 else 0.0)
    products = vectors[:, kept] * np.sqrt(values[kept]) @ drawn / np.sqrt(length)
    return products[len(rows) :] * products[: len(rows)].std(axis=0, ddof=1)


def along_groups(found: Concepts, rows, slopes, draws: int, rng: np.random.Generator) -> np.ndarray:
    """(m, draws): the same along differences between random groups of samples as large as those of the concepts, of
    half of the samples for features."""
    n = len(rows)
    sizes = rng.choice(np.where(found.members > 0, np.minimum(found.members, n - 1), n // 2), size=draws)
    order = rng.random((draws, n)).argsort(axis=1).argsort(axis=1)
    inside = order < sizes[:, None]
    apart = np.where(inside, 1.0 / sizes[:, None], -1.0 / (n - sizes)[:, None])
    inner = rows @ rows.T
    length = np.sqrt(np.maximum(np.einsum("kn,nj,kj->k", apart, inner, apart, optimize=True), 1e-300))
    spread = (inner @ apart.T / length).std(axis=0, ddof=1)
    return slopes @ rows.T @ apart.T / length * spread


def largest_of_as_many(mean: np.ndarray, nulls, rng: np.random.Generator, draws: int = 999) -> np.ndarray:
    """(draws,) the largest |cell| of as many directions by chance as `mean` (k, answers) has: k of the draws of each of
    the `nulls` [(m, answers)] at a time, of that null which gives more."""
    sizes = [np.abs(null).max(axis=1) for null in nulls]
    found = [size[rng.integers(len(size), size=(draws, len(mean)))].max(axis=1) for size in sizes]
    return max(found, key=np.mean)


def slope_cells(found: np.ndarray, answers: np.ndarray, kept: np.ndarray):
    """Means, share of positive slopes, standard error of the mean (k, answers), and n (answers,): of slopes (m, k) of
    samples with `answers` (m,), for those `kept`."""
    own = [found[answers == c] for c in kept]
    error = [a.std(axis=0, ddof=1) / np.sqrt(len(a)) for a in own]
    return (np.stack([a.mean(axis=0) for a in own], axis=1), np.stack([(a > 0).mean(axis=0) for a in own], axis=1),
            np.stack(error, axis=1), np.array([len(a) for a in own]))  # fmt: skip
