"""Budgets of one sample after another: how much attention each token received, and what each way of sharing keeps."""

from __future__ import annotations

import numpy as np

from analysis.tokens.cache.layer_budget import (
    allotted,
    kept_mass,
    masses,
    order_of,
    received,
    retained,
)
from analysis.tokens.cache.reading import Cache, Cached, weights_of


def importance(sample: Cached, causal: bool, fair: bool) -> np.ndarray:
    """(L, t) attention that tokens received in each layer, mean over heads."""
    found = [
        weights_of(q, k, causal).mean(axis=(0, 1)) for q, k in zip(sample.queries, sample.keys, strict=True)
    ]
    return received(np.stack(found), causal, fair)


def importance_of_none(sample: Cached, causal: bool, fair: bool) -> np.ndarray:
    """The same of attention that reads all it may alike."""
    t = sample.tokens
    weights = np.tri(t) if causal else np.ones((t, t))
    one = received(weights / weights.sum(axis=1, keepdims=True), causal, fair)
    return np.broadcast_to(one, (len(sample.keys), t))


def shared(
    scores: np.ndarray, way: str, share: float, sinks: int, recent: int
) -> tuple[np.ndarray, np.ndarray]:
    """((L,) tokens kept in each layer, (L,) mass that they retain) of importances (L, t) at a share of all tokens."""
    mass = masses(scores)
    curves = retained(mass, order_of(mass, sinks, recent))
    layers, t = mass.shape
    counts = allotted(way, curves, int(round(share * layers * t)), max(min(sinks + recent, t), 1))
    return counts, kept_mass(curves, counts)


def all_scores(
    cache: Cache, fair: bool, progress, span=(0.5, 0.8)
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(importances of each sample, the same of attention that reads all alike)."""
    found, none = [], []
    for i, s in enumerate(cache.samples):
        progress(span[0] + (span[1] - span[0]) * i / cache.n, "attention that tokens receive")
        found.append(importance(s, cache.causal, fair))
        none.append(importance_of_none(s, cache.causal, fair))
    return found, none
