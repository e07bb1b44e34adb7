"""The numbers beside a comparison of matched weights: both scores against random pairing and matching by chance."""

from __future__ import annotations

import numpy as np

from analysis.compute.matching.matched_rows import PairedRows
from analysis.compute.matching.row_matching import EXCHANGES, Halves, Matched
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import jackknife_half, mean_interval
from analysis.results import Estimate


def geometry_estimates(
    found: Matched, pairs: PairedRows, drawn, left, lucky, halves: Halves
) -> tuple[Estimate, ...]:
    """`drawn`, SVCCA and RSA (draws,) of random pairings; `left` (G, 2), both without each group of pairs; `lucky`
    (20, 3), both and the held-out correlation after matching on exchanged samples."""
    k, half = len(found.first), jackknife_half(left)
    dims = (pairs.one.shape[1], pairs.other.shape[1])
    values, out = (pairs.svcca(), pairs.rsa()), []
    names = ("SVCCA of matched weights", "RSA of matched weights")
    how = (
        f"mean canonical correlation of {dims[0]} and {dims[1]} directions",
        "Spearman over pairs of units",
    )
    for i, name in enumerate(names):
        out.append(Estimate(
            name, values[i], float(max(values[i] - half[i], (0.0, -1.0)[i])), float(min(values[i] + half[i], 1.0)),
            interval="jackknife over groups of pairs, t", **against(values[i], drawn[i]),
            null_method=f"the same rows paired at random, {len(drawn[0])} draws", n=k, d=max(dims), estimator=how[i],
        ))  # fmt: skip
    out.append(Estimate(
        "mean correlation of pairs, held out", float(found.held_out.mean()), **_over_pairs(found.held_out),
        null=float(lucky[:, 2].mean()), null_low=float(lucky[:, 2].min()), null_high=float(lucky[:, 2].max()),
        null_method=f"matched on exchanged samples, {EXCHANGES} draws", n=halves.n_held_out, d=k,
        estimator="Pearson on the half that did not match them",
    ))  # fmt: skip
    for i, name in enumerate(names):
        low, high = np.percentile(lucky[:, i], [2.5, 97.5])
        out.append(Estimate(
            f"{name}, if matched on exchanged samples", float(lucky[:, i].mean()),
            float(min(low, lucky[:, i].mean())), float(max(high, lucky[:, i].mean())),
            interval=f"middle 95 % of {EXCHANGES} draws", null=float(drawn[i].mean()),
            null_method="the matched rows paired at random", n=k, d=max(dims), estimator=how[i],
        ))  # fmt: skip
    return tuple(out)


def _over_pairs(values: np.ndarray) -> dict:
    found = mean_interval(values, -1.0, 1.0)
    return {**found, "interval": "Student's t over pairs"}
