"""The kinds of crops and the labels they are given: the teacher's where it is sure enough, else the softened truth."""

from __future__ import annotations

import numpy as np

KIND_NAMES = ("easy positive", "hard positive", "hard negative")
EASY, HARD, NEGATIVE = range(3)


def kinds_of(confidence: np.ndarray, lower: float, upper: float) -> np.ndarray:
    """Number of the kind of each `confidence`, any shape."""
    return np.where(confidence >= upper, EASY, np.where(confidence >= lower, HARD, NEGATIVE))


def softened(label: np.ndarray, classes: int, smoothing: float) -> np.ndarray:
    """(n, C) of true classes `label` (n,): 1 - ε on the class, and ε / C on each."""
    out = np.full((len(label), classes), smoothing / classes)
    out[np.arange(len(label)), label] += 1 - smoothing
    return out


def labels_used(p: np.ndarray, label: np.ndarray, kind: np.ndarray, smoothing: float) -> np.ndarray:
    """(n, C) the teacher's `p` (n, C), or the softened truth of the hard negatives; rows sum to 1."""
    out = p.copy()
    calibrated = kind == NEGATIVE
    out[calibrated] = softened(label[calibrated], p.shape[1], smoothing)
    return out


def entropies(p: np.ndarray) -> np.ndarray:
    """(n,) -Σ p ln p in nats, with 0 ln 0 = 0."""
    return -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=1)


def kinds_by_chance(p: np.ndarray, label: np.ndarray, lower: float, upper: float) -> np.ndarray:
    """(3,) mean share of each kind over all exchanges of the labels, where confidence is that in the label."""
    frequency = np.bincount(label, minlength=p.shape[1]) / len(label)
    kind = kinds_of(p, lower, upper)
    return np.array([float((kind == k).mean(axis=0) @ frequency) for k in range(len(KIND_NAMES))])


def entropy_by_chance(
    p: np.ndarray, label: np.ndarray, soft: np.ndarray, lower: float, smoothing: float
) -> float:
    """Mean entropy of the labels used over all exchanges of the true labels; `soft` (n,) the entropies of `p`."""
    frequency = np.bincount(label, minlength=p.shape[1]) / len(label)
    calibrated = (p < lower) @ frequency  # chance of each crop to be a hard negative
    own = entropies(softened(label[:1], p.shape[1], smoothing))[0]
    return float((calibrated * own + (1 - calibrated) * soft).mean())
