"""Estimates at one state of a residual stream: means over samples, rank, and the accuracy of neighbours."""

from __future__ import annotations

import numpy as np

from analysis.compute.neighbours.left_out_votes import left_out_votes
from analysis.compute.networks.residual_stream import rank_share
from analysis.compute.rows.common_rows import CommonRows
from analysis.compute.rows.samples import known_labels
from analysis.compute.statistics.sample_groups import jackknife_half, mean_interval, share_interval
from analysis.results import Estimate

RANK, NEAR = "entropy rank over units", "accuracy of neighbours"


def mean_along(name: str, values: np.ndarray, null: float | None, data: CommonRows, d: int) -> Estimate:
    where = " at the same place" if data.has_tokens else ""
    known = (
        {}
        if null is None
        else {"null": null, "null_method": f"other samples'{where}, exact mean over all pairs"}
    )
    known |= mean_interval(values)
    return Estimate(name, float(values.mean()), **known, n=data.n_samples, d=d, estimator="mean over samples")


def rank_along(x: np.ndarray, groups, n: int, at: str) -> Estimate:
    d = x.shape[1]
    value, without = rank_share(x), [rank_share(np.delete(x, g, axis=0)) for g in groups]
    half = jackknife_half(np.array(without))
    return Estimate(f"{RANK}, {at}", value, max(0.0, value - half), value + half, n=n, d=d,
                    interval="jackknife over groups of samples, t",
                    estimator="exp entropy of σ², over units")  # fmt: skip


def accuracy_along(x: np.ndarray, labels: np.ndarray, k: int, at: str) -> Estimate:
    known = known_labels(labels)
    codes = np.unique(labels[known], return_inverse=True)[1]
    right = left_out_votes(x[known], codes, k).astype(float)
    return Estimate(f"{NEAR}, {at}", float(right.mean()), **share_interval(right), n=len(right), d=x.shape[1],
                    null=float(np.bincount(codes).max() / len(codes)), null_method="share of the largest class",
                    estimator=f"{k} nearest neighbours, left one out")  # fmt: skip
