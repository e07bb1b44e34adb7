"""How well samples of one label lie together once their tokens are pooled: a linear probe, or the nearest samples.

Probe: ridge regression on class membership, every sample told by a fit that did not see it (`linear.ridge_probe`). With
labels shuffled the answers agree with them as Σ (share of class c) (share of answers c). Retrieval: share of the k
nearest other samples (cosine, after centring) with the same label; shuffled labels give Σ n_c (n_c - 1) / (n (n - 1)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.ridge_probe import held_out_predictions

PROBE, RETRIEVAL, NEAREST = "linear probe", "retrieval", 10
JUDGES = (PROBE, RETRIEVAL)


@dataclass(frozen=True)
class Judged:
    """`score` (n,) in [0, 1] of every sample, and what shuffled labels give."""

    score: np.ndarray
    chance: float

    @property
    def mean(self) -> float:
        return float(self.score.mean())


def judged(features: np.ndarray, codes: np.ndarray, fold: np.ndarray, judge: str) -> Judged:
    """Of `features` (n, d), classes `codes` (n,) from 0, `fold` (n,) from 0; fold -1 is trained on and not asked."""
    if judge == RETRIEVAL:
        asked = fold >= 0
        return Judged(_nearest(features, codes)[asked], shuffled_precision(codes))
    y = np.eye(int(codes.max()) + 1)[codes]
    told = held_out_predictions(features, y, np.zeros(y.shape[1], np.int64), fold, np.array([True]))
    asked = fold >= 0
    answers = told[asked].argmax(axis=1)
    right = (answers == codes[asked]).astype(np.float64)
    said = np.bincount(answers, minlength=y.shape[1]) / len(answers)
    return Judged(right, float(said @ y[asked].mean(axis=0)))


def shuffled_precision(codes: np.ndarray) -> float:
    """Chance that two samples share their label."""
    counts, n = np.bincount(codes), len(codes)
    return float((counts * (counts - 1)).sum() / (n * (n - 1)))


def _nearest(features: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(n,) share of the nearest with the same label; ties are shared by all that tie."""
    x = features - features.mean(axis=0)
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    x = x / np.where(lengths > 1e-12 * max(float(lengths.max()), 1e-300), lengths, np.inf)
    cosine = x @ x.T
    np.fill_diagonal(cosine, -np.inf)
    k = min(NEAREST, len(x) - 1)
    least = np.partition(cosine, len(x) - k, axis=1)[:, len(x) - k][:, None]
    alike = codes[:, None] == codes[None, :]
    above, tied = cosine > least + 1e-12, np.abs(cosine - least) <= 1e-12
    share = (k - above.sum(axis=1)) / np.maximum(tied.sum(axis=1), 1)
    return ((above & alike).sum(axis=1) + share * (tied & alike).sum(axis=1)) / k
