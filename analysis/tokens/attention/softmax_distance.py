"""Scores of a head, and how far the weights that it pays are from the softmax of these, and from being shares of 1."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Estimate
from analysis.tokens.attention.heads import HeadReader


def scores_of(reader: HeadReader, layer: int, head: int) -> np.ndarray:
    """(n, T, T) q k' / √e."""
    q, k = (np.asarray(x[layer][:, head], np.float64) for x in (reader.queries, reader.keys))
    return q @ k.transpose(0, 2, 1) * (q.shape[2] ** -0.5 if reader.scale is None else reader.scale)


DOUBLE = 1e-12  # what double precision leaves of 0 in sums of so many weights


def of_weights(name: str, paid, soft, may) -> list[Estimate]:
    there = may.any(axis=2)
    rows = np.maximum(there.sum(axis=1), 1)
    away = 0.5 * np.abs(paid - soft).sum(axis=2).sum(axis=1) / rows
    off = np.where(there, np.abs(paid.sum(axis=2) - 1), 0.0).max(axis=1)
    mass = np.maximum(np.abs(paid).sum(axis=(1, 2)), 1e-300)
    below = -np.minimum(paid, 0).sum(axis=(1, 2)) / mass
    facts = {"null": 0.0, "null_method": "softmax of the scores", "n": len(paid), "d": paid.shape[1]}
    return [
        Estimate(
            f"{what}, {name}",
            float(x.mean()),
            **mean_interval(x, 0.0),
            **facts,
            estimator=how,
            rounding=DOUBLE,
        )
        for what, x, how in (
            ("away from softmax", away, "half of the absolute difference, mean over queries"),
            ("row sums off 1", off, "largest of a sample, mean over samples"),
            ("negative share of the mass", below, "mean over samples"),
        )
    ]
