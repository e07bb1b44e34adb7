"""Accuracies and shares of classes as subspaces over their dimension, with bands and nulls."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.nulls import wilson
from analysis.compute.statistics.paired_gain import paired_ends
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Estimate

SUBSPACES, PROBE, NEAREST = (
    "accuracy of class subspaces",
    "accuracy of a linear probe",
    "accuracy of the nearest mean",
)
OWN, OTHERS = "squared length inside the own subspace", "inside those of other classes"


def bands_of(lines: dict[str, np.ndarray], k: int) -> tuple[dict, dict, dict]:
    """Means, low and high ends (k,) of each line (n, k) or (n, 1), which is then the same at every k."""
    values, low, high = {}, {}, {}
    for name, each in lines.items():
        mean, n = each.mean(axis=0), len(each)
        if name in (OWN, OTHERS):
            ends = np.array([share_ends(each[:, j]) for j in range(each.shape[1])])
        else:
            ends = np.array([wilson(float(m) * n, n) for m in mean])
        values[name] = np.resize(mean, k)
        low[name] = np.minimum(np.resize(ends[:, 0], k), values[name])
        high[name] = np.maximum(np.resize(ends[:, 1], k), values[name])
    return values, low, high


def share_ends(values: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean of `values` (n,) in [0, 1]."""
    found = mean_interval(values, 0.0, 1.0)
    return found["low"], found["high"]


def estimates_of(right, probe, near, own, others, k: int, chance: float, shape) -> tuple[Estimate, ...]:
    """At one k: each line (n,) by itself, and the gain over the probe; `chance` of a right answer; `shape` (n, d)."""
    n, d = shape
    common, made = {"n": n, "d": d}, []
    for name, each in ((f"{SUBSPACES}, k = {k}", right), (PROBE, probe), (NEAREST, near)):
        value = float(each.mean())
        low, high = wilson(value * n, n)
        made.append(Estimate(name, value, min(low, value), max(high, value), interval="Wilson", null=chance,
                             null_method="answers as frequent as the classes, exchanged between samples",
                             estimator="held out", **common))  # fmt: skip
    gain = right - probe
    made.append(Estimate(f"class subspaces less linear probe, k = {k}", float(gain.mean()),
                         **paired_ends(probe, right), null=0.0, null_method="both right equally often",
                         estimator="same samples", **common))  # fmt: skip
    for name, each in ((f"{OWN}, k = {k}", own), (f"{OTHERS}, k = {k}", others)):
        made.append(Estimate(name, float(each.mean()), **mean_interval(each, 0.0, 1.0), null=k / d,
                             null_method="a random subspace, k / d exactly", estimator="mean over samples",
                             **common))  # fmt: skip
    return tuple(made)
