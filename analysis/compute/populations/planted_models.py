"""Planted populations with known answers, for the checks of methods that compare several models."""

from __future__ import annotations

import numpy as np


def planted_models(rng: np.random.Generator, n: int = 500, models: int = 4) -> list[np.ndarray]:
    """(n, 12) of each model: three directions of variance 64, 16 and 4 that all have in common, but that the last model
    has noise for the third; one direction of variance 1 of each model's own; every model in a basis of its own."""
    common, taps = rng.standard_normal((n, 3)), []
    for m in range(models):
        own = common.copy()
        if m == models - 1:
            own[:, 2] = rng.standard_normal(n)
        scores = np.hstack([own * [8, 4, 2], rng.standard_normal((n, 1)), 0.1 * rng.standard_normal((n, 8))])
        taps.append(scores @ np.linalg.qr(rng.standard_normal((12, 12)))[0] + 5)
    return taps


def planted_predictions(
    rng: np.random.Generator, n: int, classes: int, models: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chances p (n, classes) of each sample, labels (n,) and predictions (models, n), all drawn from the same p: models
    that are calibrated together, whose disagreement is their error."""
    p = rng.dirichlet(np.full(classes, 0.5), size=n)
    edges = p.cumsum(axis=1)
    drawn = (rng.random((models + 1, n))[..., None] > edges[:, :-1]).sum(axis=-1)
    return p, drawn[0], drawn[1:]
