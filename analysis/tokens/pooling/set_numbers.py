"""What softmax weights of a set, element by channel, amount to: how many elements count, which leads, and how far the
pooled vector is from other poolings and from itself with fewer elements."""

from __future__ import annotations

import numpy as np

from analysis.tokens.pooling.attentive_sets import attentive
from analysis.tokens.pooling.effective import effective
from analysis.tokens.pooling.generalised_mean import SHIFT, generalised_mean, made_positive
from analysis.tokens.pooling.token_sets import TokenSets

MEAN, MOST, GEM, POWER = "mean", "maximum", "generalised mean", 3.0
TIE = 1e-12  # of two weights that count as the same


def pooled(x: np.ndarray, present: np.ndarray) -> dict[str, np.ndarray]:
    """(n, d) by each of the other poolings, of x (n, T, d), 0 where not `present`."""
    positive = made_positive(x, present, SHIFT, 1e-3)[0]
    return {
        MEAN: x.sum(axis=1) / present.sum(axis=1)[:, None],
        MOST: np.where(present[..., None], x, -np.inf).max(axis=1),
        GEM: generalised_mean(positive, POWER, present),
    }


def grown(sets: TokenSets, scores: np.ndarray, share: float, rng) -> tuple[np.ndarray, np.ndarray]:
    """(n,) distance of the pooled vector with a share of the elements, at random, from that of all, in spreads of the
    elements of a sample; and (n,) what the mean of as many would have (root of the exact mean square)."""
    t = sets.present.sum(axis=1)
    size = np.maximum(np.rint(share * t), 1).astype(int)
    rank = np.where(sets.present, rng.random(sets.present.shape), 2.0).argsort(axis=1).argsort(axis=1)
    part, whole = (attentive(sets.x, scores, p) for p in (rank < size[:, None], sets.present))
    spread = (np.square(sets.x - sets.mean[:, None]).sum(axis=2) * sets.present).sum(axis=1) / t
    away = np.square(part - whole).sum(axis=1)
    least = 1e-20 * np.square(whole).sum(axis=1)
    return (np.sqrt(np.where(spread > least, away / np.where(spread > least, spread, 1.0), 0.0)),
            np.sqrt((t - size) / (size * np.maximum(t - 1, 1))))  # fmt: skip


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n,) of rows (n, d), each side less its mean over samples; 0 of a row without length."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    size = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.where(size > 0, np.einsum("nd,nd->n", a, b) / np.where(size > 0, size, 1.0), 0.0)


def evenness(weight: np.ndarray, present: np.ndarray) -> np.ndarray:
    """(n,) elements in effect over their number, mean over channels, of (n, T, d)."""
    n, t, d = weight.shape
    each = effective(weight.transpose(0, 2, 1).reshape(-1, t)).reshape(n, d)
    return each.mean(axis=1) / present.sum(axis=1)


def spread_within(scores: np.ndarray, present: np.ndarray) -> np.ndarray:
    """(n, d) standard deviation of scores (n, T, d) over the elements of each sample: what all of them have in common
    moves no weight."""
    t, here = present.sum(axis=1)[:, None], present[..., None]
    off = np.where(here, scores - np.where(here, scores, 0.0).sum(axis=1, keepdims=True) / t[:, None], 0.0)
    return np.sqrt(np.square(off).sum(axis=1) / np.maximum(t - 1, 1))


def gaussian_like(scores: np.ndarray, present: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, T, d) Gaussian scores with exactly that spread in every sample and channel."""
    noise = rng.standard_normal(scores.shape)
    own = spread_within(noise, present)
    return noise * (spread_within(scores, present) / np.where(own > 0, own, 1.0))[:, None]


def leaders(weight: np.ndarray) -> np.ndarray:
    """(…, d) the element with the largest of (…, T, d) in each channel, -1 where two share it."""
    if weight.shape[-2] < 2:
        return np.zeros((*weight.shape[:-2], weight.shape[-1]), int)
    second, first = np.moveaxis(np.partition(weight, -2, axis=-2)[..., -2:, :], -2, 0)
    tie = first - second <= TIE * np.maximum(np.abs(first), 1.0)
    return np.where(tie, -1, weight.argmax(axis=-2))


def front(scores: np.ndarray, present: np.ndarray) -> np.ndarray:
    """(n,) share of channels that the element which leads most of them leads."""
    lead = leaders(np.where(present[..., None], scores, -np.inf))
    return np.array([np.bincount(row + 1)[1:].max(initial=0) / len(row) for row in lead])
