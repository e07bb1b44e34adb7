"""What each further expert of a token adds: gate mass, experts left idle, overflow, and error of the output."""

from __future__ import annotations

import numpy as np

from analysis.tokens.routing.gates import chosen, gates
from analysis.tokens.routing.load import load

LEAST = 1e-12


def masses(logits: np.ndarray, most: int) -> np.ndarray:
    """(n, most) sums of the 1, 2, … largest gates of each token, rising to 1 at all experts."""
    p = -np.sort(-gates(logits), axis=1)
    return np.minimum(np.cumsum(p[:, :most], axis=1), 1.0)


def idle_and_overflow(logits: np.ndarray, most: int, capacity: float) -> tuple[np.ndarray, np.ndarray]:
    """Over k = 1 … most, (most,) each: share of experts without a token, share of choices beyond the capacity."""
    none = np.zeros(len(logits), int)
    loads = [load(logits, k, none) for k in range(1, most + 1)]
    idle = np.array([(x.counts[0] == 0).mean() for x in loads])
    return idle, np.array([x.overflow(capacity)[0] for x in loads])


def errors(logits: np.ndarray, outputs: np.ndarray, most: int, order: np.ndarray | None = None) -> np.ndarray:
    """(n, most) |y_k - y_E| / |y_E| of each token: outputs (E, n, d) of all experts, mixed by the gates of the k
    largest, or the first k of `order` (n, E), which are rescaled to a sum of 1; 0 where the whole mixture is 0."""
    p, order = gates(logits), chosen(logits, logits.shape[1]) if order is None else order
    at = np.arange(len(logits))
    whole = np.einsum("ne,end->nd", p, outputs)
    size = np.linalg.norm(whole, axis=1)
    mixed, mass, out = np.zeros_like(whole), np.zeros(len(logits)), np.zeros((len(logits), most))
    for k in range(most):
        e = order[:, k]
        weight = p[at, e]
        mixed += weight[:, None] * outputs[e, at]
        mass += weight
        apart = np.linalg.norm(mixed / np.maximum(mass, 1e-300)[:, None] - whole, axis=1)
        out[:, k] = np.divide(apart, size, out=np.zeros_like(apart), where=size > LEAST)
    return out


def by_sample(values: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """(S, K) means of values (n, K) over the tokens of each sample (n,); of tokens, where there is one sample only."""
    _, of, counts = np.unique(samples, return_inverse=True, return_counts=True)
    if len(counts) == 1:
        return values
    order = np.argsort(of, kind="stable")
    return np.add.reduceat(values[order], np.r_[0, np.cumsum(counts)[:-1]], axis=0) / counts[:, None]
