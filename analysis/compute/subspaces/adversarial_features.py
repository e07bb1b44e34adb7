"""A softmax probe trained on features that are moved against it, along directions that other features span.

The gradient of the loss by a feature x of class y is g = Wᵀ (p - e_y): moving along it makes the probe fail soonest.
Most of it leads where no feature lies, so that it is projected on the span of other examples of the batch (Qian et al.
2024): each half of a batch on the span of the other half. The projection lies in that span and is no longer than g;
with as many examples as units it is g itself.

References: Q. Qian, Y. Xu & J. Hu (2024), "SeA: semantic adversarial augmentation for last layer features from
unsupervised representation learning".
"""

from __future__ import annotations

import numpy as np

PLAIN, ADVERSARIAL, FREE, RANDOM = "nothing", "projected gradient", "gradient", "random in the span"
MOMENTUM, PENALTY = 0.9, 1e-4


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Rows of length 1; rows of 0 stay."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, length, out=np.zeros_like(x), where=length > 0)


def on_span(vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The part of the rows of `vectors` (n, d) in the span of the rows of `others` (m, d). O(d min(m, d)²)."""
    _, s, right = np.linalg.svd(others, full_matrices=False)
    right = right[s > s[:1] * 1e-10] if len(s) else right
    return (vectors @ right.T) @ right


def probabilities(x: np.ndarray, weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
    z = x @ weights + bias
    z = np.exp(z - z.max(axis=1, keepdims=True))
    return z / z.sum(axis=1, keepdims=True)


def gradients(x: np.ndarray, onehot: np.ndarray, weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """(n, d) of the cross-entropy by the rows of `x` (n, d)."""
    return (probabilities(x, weights, bias) - onehot) @ weights.T


def moved(x, onehot, weights, bias, kind: str, epsilon: float, rng: np.random.Generator) -> np.ndarray:
    """The rows of `x` (n, d) moved by `epsilon` along one unit direction each; rows without a direction stay."""
    if kind == PLAIN or epsilon == 0:
        return x
    half = len(x) // 2
    parts = [(slice(0, half), slice(half, None)), (slice(half, None), slice(0, half))]
    along = rng.standard_normal(x.shape) if kind == RANDOM else gradients(x, onehot, weights, bias)
    if kind != FREE:
        along = np.vstack([on_span(along[mine], x[others]) for mine, others in parts])
    return x + epsilon * unit_rows(along)


def train(
    x: np.ndarray,
    of: np.ndarray,
    classes: int,
    kind: str,
    epsilon: float,
    *,
    epochs: int,
    batch: int,
    rate: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (d, C) and bias (C,) by stochastic gradient descent with momentum on each batch and its moved copy; the
    order of the samples is that of `seed` for every kind, so that 0 moves give the plain probe exactly."""
    order_rng, move_rng = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    weights, bias = np.zeros((x.shape[1], classes)), np.zeros(classes)
    speed, bias_speed = np.zeros_like(weights), np.zeros_like(bias)
    onehot, n = np.eye(classes)[of], len(x)
    steps = epochs * -(-n // batch)
    done = 0
    for _ in range(epochs):
        order = order_rng.permutation(n)
        for start in range(0, n, batch):
            these = order[start : start + batch]
            own, target = x[these], onehot[these]
            away = moved(own, target, weights, bias, kind, epsilon, move_rng)
            error = [(probabilities(z, weights, bias) - target) / len(these) for z in (own, away)]
            step = (own.T @ error[0] + away.T @ error[1]) / 2 + PENALTY * weights
            now = rate * (1 + np.cos(np.pi * done / steps)) / 2
            speed = MOMENTUM * speed - now * step
            bias_speed = MOMENTUM * bias_speed - now * (error[0] + error[1]).sum(axis=0) / 2
            weights, bias, done = weights + speed, bias + bias_speed, done + 1
    return weights, bias
