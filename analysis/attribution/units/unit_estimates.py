"""What every method says of the parts that it read: what their sum misses, and how far they are sampled."""

from __future__ import annotations

import numpy as np

from analysis.attribution.units.unit_parts import UnitParts
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Estimate


def missed(parts: UnitParts, d: int) -> Estimate:
    """The residual of the sum, beside the size of what is split."""
    size = max(float(np.abs(parts.full - parts.empty).mean()), 1e-300)
    left = np.abs(parts.residual) / size
    return Estimate("residual of the sum", float(left.mean()), **mean_interval(left, 0.0), n=len(left), d=d,
                    null=0.0, null_method="parts that add up, exactly",
                    estimator="mean |answer - background - sum of parts| / mean |answer - background|")  # fmt: skip


def sampling_error(parts: UnitParts, d: int) -> tuple[Estimate, ...]:
    """Mean standard error of a part as a share of the mean size of a part; nothing where nothing tells it."""
    if not np.isfinite(parts.errors).all():
        return ()
    size = max(float(np.abs(parts.values).mean()), 1e-300)
    each = parts.errors.mean(axis=1) / size
    return (
        Estimate("sampling error", float(each.mean()), **mean_interval(each, 0.0), n=len(each), d=d,
                 null=0.0, null_method="exact values",
                 estimator="mean standard error of a part / mean size of a part"),
    )  # fmt: skip
