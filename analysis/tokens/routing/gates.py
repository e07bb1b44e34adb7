"""Gates of a router from its logits, and what of them can be told apart.

    p_e = exp(s_e / τ) / Σ_f exp(s_f / τ),    H = -Σ p ln p,    exp(H) experts are in use (1 to E)

One number added to all logits of a token changes nothing, so that one vector added to the weights of all experts does
not (the gauge): logits are taken less their mean over experts before routers are compared. Nor does a factor of logits
and temperature alike: only their ratio is known.
"""

from __future__ import annotations

import numpy as np

from analysis.errors import InputError

LEAST = 1e-30  # a gate of 0, where its logarithm is taken
SUM = 5e-3  # by which gates in half precision miss a sum of 1
GATES, PARTS, LOGITS = "gates that sum to 1", "gates that do not sum to 1", "router logits"


def fixed(scores: np.ndarray) -> np.ndarray:
    """Logits (n, E), or weights (d, E), less their mean over experts."""
    return scores - scores.mean(axis=1, keepdims=True)


def logits_from(values: np.ndarray) -> tuple[np.ndarray, str]:
    """(n, E) logits less their mean, and what the values (n, E) were taken for: gates where all lie between 0 and 1, by
    their logarithm, and router logits otherwise. Raises InputError for fewer than two experts."""
    if values.shape[1] < 2:
        raise InputError(
            f"gates of {values.shape[1]} expert",
            "two experts or more, each a unit of the tap",
            "Choose another tap",
        )
    if values.min() < 0 or values.max() > 1:
        return fixed(values), LOGITS
    kind = GATES if np.abs(values.sum(axis=1) - 1).max() < SUM else PARTS
    return fixed(np.log(np.maximum(values, LEAST))), kind


def gates(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """(n, E), each row of sum 1."""
    out = (logits - logits.max(axis=1, keepdims=True)) / temperature
    np.exp(out, out=out)
    out /= out.sum(axis=1, keepdims=True)
    return out


def entropy(p: np.ndarray) -> np.ndarray:
    """(n,) nats of each row of p (n, E)."""
    return -(p * np.log(np.maximum(p, LEAST))).sum(axis=1)


def effective(p: np.ndarray) -> np.ndarray:
    """(n,) experts in use: 1 for a choice, E where all are used alike."""
    return np.exp(entropy(p))


def chosen(logits: np.ndarray, k: int) -> np.ndarray:
    """(n, k) the experts with the largest logits, the largest first; of equal ones the first."""
    return np.argsort(-logits, axis=1, kind="stable")[:, :k]


def marked(picked: np.ndarray, experts: int) -> np.ndarray:
    """(n, E) 1 for each of the `picked` (n, k) of a token."""
    out = np.zeros((len(picked), experts))
    np.put_along_axis(out, picked, 1.0, axis=1)
    return out


def divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """(n,) Kullback-Leibler of each row, nats; 0 for copies."""
    return (p * (np.log(np.maximum(p, LEAST)) - np.log(np.maximum(q, LEAST)))).sum(axis=1)
