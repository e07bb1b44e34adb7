"""What a run of a network answers, and how far two answers lie apart."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp


def logits_of_answer(run) -> np.ndarray:
    """(B, C) float64: of a classifier its logits, of a language model those behind the last token of each sample, of
    an encoder its embedding."""
    z = run.logits.detach().double().numpy()
    if z.ndim == 2:
        return z
    present = run.layout.present
    last = present.shape[1] - 1 - present[:, ::-1].argmax(axis=1)
    return z[np.arange(len(z)), last]


def log_probabilities(z: np.ndarray) -> np.ndarray:
    """(..., C) log of the softmax."""
    return z - logsumexp(z, axis=-1, keepdims=True)


def answers_of(run) -> np.ndarray:
    """(B, C) probabilities of the answer."""
    return np.exp(log_probabilities(logits_of_answer(run)))


def changes(before, after) -> tuple[np.ndarray, np.ndarray]:
    """(cosine, nats), each (B,): between the outputs of two runs of the same samples, and the Kullback-Leibler
    divergence of the answer after from the one before."""
    a, b = logits_of_answer(before), logits_of_answer(after)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine = (a * b).sum(axis=1) / np.where(lengths > 0, lengths, 1)
    p, q = log_probabilities(a), log_probabilities(b)
    return cosine, np.maximum((np.exp(p) * (p - q)).sum(axis=1), 0.0)
