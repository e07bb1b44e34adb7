"""What is told of the singular values of attention and of landmarks that stand for its keys."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Estimate
from analysis.tokens.attention.landmarks import (
    CLUSTERS,
    KERNELS,
    PAID,
    POOLED,
    SHARE,
    SOFTMAX,
    WAYS,
)

TOLD = 8  # landmarks told of

NULL = "Gaussian queries and keys of the same joint mean and covariance"
ALONE = {"interval": "none: one sample"}


def spectrum_estimates(values, errors, free, missed, sizes, heads: int, params) -> tuple[Estimate, ...]:
    """Singular values that 90 % takes by kernel, and what landmarks leave by way of choosing, beside Gaussian heads."""
    facts = {"d": heads, "n": len(errors[POOLED])}
    lines = []
    for name in (n for n in values if isinstance(n, str)):
        x = values[name, SHARE]
        by = SOFTMAX if name == PAID else name
        lines.append(Estimate(f"singular values for 90 %, {name}", float(x.mean()), **(mean_interval(x, 1.0) or ALONE),
                              null=float(free[by, SHARE].mean()), null_method=NULL, **facts,
                              estimator="of the sum of squares, mean over heads and samples"))  # fmt: skip
    at = int(np.searchsorted(sizes, min(TOLD, sizes[-1])))
    for way in WAYS:
        x = errors[way][:, at]
        lines.append(Estimate(f"left by {sizes[at]} landmarks, {way}", float(x.mean()), null_method=NULL, **facts,
                              **(mean_interval(x, 0.0, 1.0) or ALONE), null=float(missed[way][:, at].mean()),
                              estimator=f"of {params.kernel}, core: {params.core}"))  # fmt: skip
    gain, chance = ((e[POOLED] - e[CLUSTERS])[:, at] for e in (errors, missed))
    lines.append(Estimate(f"gained by k-means at {sizes[at]} landmarks", float(gain.mean()),
                          **(mean_interval(gain) or ALONE), null=float(chance.mean()),
                          null_method=NULL, estimator="paired by sample", **facts))  # fmt: skip
    return tuple(lines)


def spectrum_reading(told, params) -> str:
    """In words, of these estimates."""
    by = {e.name: e for e in told}
    soft, flat = (by[f"singular values for 90 %, {name}"] for name in KERNELS)
    left = [e for e in told if e.name.startswith("left by")]
    best = min(left, key=lambda e: e.value)
    return (
        f"90 % of the sum of squares takes {soft.value:.1f} singular values of softmax attention (Gaussian heads: "
        f"{soft.null:.1f}) and {flat.value:.1f} of the Gaussian kernel ({flat.null:.1f}). {best.name.split(' ')[2]} "
        f"landmarks leave {best.value:.0%} of the {params.kernel}, chosen as {best.name.split(', ')[1]} "
        f"(Gaussian heads: {best.null:.0%})."
    )
