"""What is said of how a dictionary spends its activity, over groups of samples."""

from __future__ import annotations

import numpy as np

from analysis.compute.dictionaries.allocation import Spent, dispersion, zipf
from analysis.compute.statistics.nulls import share_over
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.results import Estimate

EVEN, ALONE = "every feature the same share", "features that fire independently at their rates"


def spending_estimates(found: Spent, even: np.ndarray) -> tuple[Estimate, ...]:
    """Zipf exponent, features per row and their spread, dead share. `even` (k,): rows per feature where every feature
    has the same share. Intervals: samples left out in groups; of the dead share, over features."""
    fired, per_row, n = found.fired.sum(axis=0), found.per_row.sum(axis=0), int(found.rows.sum())
    without = [(fired - f, per_row - p) for f, p in zip(found.fired, found.per_row, strict=True)]
    without = [(f, p) for f, p in without if p.sum() and f.any()]
    sizes, common = np.arange(len(per_row)), {"n": n, "d": len(fired)}
    out = [
        _jackknifed("Zipf exponent of rows per feature", zipf(fired)[0], [zipf(f)[0] for f, _ in without],
                    null=zipf(even)[0] if even.any() else 0.0, null_method=EVEN,
                    estimator="least squares over ranks spaced evenly in log", **common),
        _jackknifed("active features per row", float((sizes * per_row).sum() / n),
                    [float((sizes * p).sum() / p.sum()) for _, p in without], estimator="mean", **common),
    ]  # fmt: skip
    spread = dispersion(per_row, fired)
    if spread is not None:
        parts = [dispersion(p, f) for f, p in without]
        out.append(_jackknifed("spread of features per row", spread, [p for p in parts if p is not None], null=1.0,
                               null_method=ALONE, estimator="ratio of variances", **common))  # fmt: skip
    out.append(Estimate(f"dead share in {n:,} rows", **share_over(fired == 0, "features"),
                        null=float((even == 0).mean()), null_method=EVEN, estimator="features that never fired",
                        **common))  # fmt: skip
    return tuple(out)


def _jackknifed(name: str, value: float, parts: list[float], **more) -> Estimate:
    """None of these quantities can be negative but by rounding, so neither can the low end."""
    value, half = max(value, 0.0), jackknife_half(np.array(parts))
    if half is None:
        return Estimate(name, value, **more)
    low, high = max(value - float(half), 0.0), value + float(half)
    return Estimate(name, value, low, high, interval="jackknife, groups of samples", **more)
