"""Leaving a network early: exits behind each layer, the layer that each sample leaves at, what that costs."""

from __future__ import annotations

import numpy as np

from analysis.tokens.arithmetic import multiply_adds
from analysis.tokens.lens import lens
from analysis.tokens.stream_cost import AT_ONCE

SAME, RIGHT = "the full network's answer", "the right answer"
THRESHOLDS = np.append(np.linspace(0.0, 1.0, 21), 1.05)


def lens_exits(who, progress=lambda f: None) -> np.ndarray:
    """(L, n, C) log-probabilities of the network's own readout behind each layer."""
    return lens(who, progress).logs[1:]


def leaving(logs: np.ndarray, threshold: float) -> np.ndarray:
    """(n,) the exit that each sample leaves at, of exits (L, n, C): the first that is sure enough, or the last."""
    sure = np.exp(logs.max(axis=2)) >= threshold
    sure[-1] = True
    return sure.argmax(axis=0)


def hits(logs: np.ndarray, labels: np.ndarray | None) -> dict[str, np.ndarray]:
    """(L, n) 1.0 where an exit's top answer is the last one's, and where it is the label; NaN without a label."""
    top = logs.argmax(axis=2)
    found = {SAME: (top == top[-1]).astype(np.float64)}
    if labels is not None and (np.asarray(labels) >= 0).any():
        labels = np.asarray(labels)
        found[RIGHT] = np.where(labels >= 0, top == labels, np.nan).astype(np.float64)
    return found


def costs_of(who) -> np.ndarray:
    """(L,) multiply-adds of leaving behind each layer, over those of the whole network, at the mean number of
    tokens of the first samples."""
    shape = who.shape()
    _, given = next(who.batches(AT_ONCE))
    tokens = float(who.passed(given).present.sum(axis=1).mean())
    found = multiply_adds(shape, np.full(shape.layers + 1, tokens))
    spent = np.cumsum(found.linear + found.quadratic) + found.fixed
    return spent / spent[-1]
