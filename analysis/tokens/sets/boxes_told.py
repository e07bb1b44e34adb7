"""What is told of attention inside the boxes of instances."""

from __future__ import annotations

from itertools import product

import numpy as np

from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Estimate

OWN, LEAKED = "mass in the own box", "mass leaked to other boxes"


def box_estimates(shares, best: int, names, regions, d: int) -> tuple[Estimate, ...]:
    """Of `shares` (layers, n, K, 4): the layer that keeps most, and the mean of all; of regions what is lost."""
    found, layers = [], len(shares)
    of = [(names[best], shares[[best]], f", the largest of {layers} layers" * (layers > 1))]
    of += [(f"mean of {layers} layers", shares, "")] * (layers > 1)  # not chosen among many
    for (where, part, chosen), (i, name) in product(of, enumerate((OWN, LEAKED))):
        some = np.isfinite(part[..., i]).any(axis=(0, 2))
        each, even = (np.nanmean(part[:, some][..., j], axis=(0, 2)) for j in (i, i + 2))
        how = mean_interval(each, 0.0, 1.0) or {"interval": "none: one sample"}
        found.append(
            Estimate(f"{name}, {where}", float(each.mean()), **how, null=float(even.mean()), n=len(each), d=d,
                     null_method="all tokens read alike", estimator=f"mean over instances and samples{chosen}")
        )  # fmt: skip
    if regions is not None:
        how = mean_interval(regions[0], 0.0) or {"interval": "none: one sample"}
        found.append(
            Estimate("lost of regions put back and cut out again", float(regions[0].mean()), **how, n=len(regions[0]),
                     null=float(regions[1].mean()), null_method="places of the same features exchanged", d=d,
                     estimator="share of their variance")
        )  # fmt: skip
    return tuple(found)
