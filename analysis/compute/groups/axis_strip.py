"""Samples in their order along an axis, cut into parts, with a few rows of each to look at."""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations
from analysis.compute.statistics.ratios import ratio_interval
from analysis.results import Estimate


def strip(
    activations: Activations,
    samples: np.ndarray,
    units: np.ndarray,
    placed: np.ndarray,
    weights: np.ndarray,
    steps: int,
    examples: int,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Rows and positions by part, lowest part first; in each the samples nearest to its median position. `placed` (n,)
    are the positions of the samples `samples` (n,), `weights` (d,) the axis in the units `units` (d,)."""
    order = np.argsort(placed, kind="stable")
    parts = min(steps, len(order))
    groups, values = {}, {}
    for i, part in enumerate(np.array_split(order, parts)):
        near = np.argsort(np.abs(placed[part] - np.median(placed[part])), kind="stable")[:examples]
        chosen = part[np.sort(near)]
        name = f"{100 * i / parts:.0f} to {100 * (i + 1) / parts:.0f} %"
        name += " (lowest)" if i == 0 else " (highest)" if i == parts - 1 else ""
        groups[name] = np.array(
            [_row(activations, int(samples[s]), units, weights) for s in chosen], np.int64
        )
        values[name] = placed[chosen]
    return groups, values


def _row(activations: Activations, sample: int, units: np.ndarray, weights: np.ndarray) -> int:
    """The row that stands for a sample: its only one, or the finite token furthest along the axis."""
    start, stop = (int(v) for v in activations.layout.offsets[sample : sample + 2])
    if stop - start == 1:
        return start
    tokens = np.asarray(activations.take(np.arange(start, stop)), dtype=np.float64)[:, units] @ weights
    return start + int(np.argmax(np.where(np.isfinite(tokens), tokens, -np.inf)))


def share_along(x: np.ndarray, weights: np.ndarray, rng) -> Estimate:
    """Variance along the axis over that of all units."""
    centred = x - x.mean(axis=0)
    along = (centred @ weights) ** 2 / max(float(weights @ weights), 1e-300)
    low, high = ratio_interval(along, (centred**2).sum(axis=1), rng)
    return Estimate(
        "share of the variance along the axis", float(along.sum() / (centred**2).sum()), low=low, high=high,
        interval="bootstrap over samples", null=1 / x.shape[1], null_method="a random direction, on average: 1 / d",
        n=len(x), d=x.shape[1], estimator="variance of the positions / variance of all units",
    )  # fmt: skip
