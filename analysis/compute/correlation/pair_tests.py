"""Whether units correlate beyond chance: tests of all pairs, and the estimates that are made of them.

The strongest of many pairs was chosen because it is the strongest. Its null is therefore that of the largest |r| of
as many unrelated pairs, and its interval is wide enough to hold for all pairs together (Šidák 1967).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Layout
from analysis.arrays import upper
from analysis.compute.correlation.correlations import (
    absolute_interval,
    correlation_p,
    fisher_interval,
    mean_absolute_null,
    moved_correlations,
    null_quantile,
)
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.results import Estimate
from analysis.spec import Progress, no_progress


@dataclass(frozen=True)
class PairTests:
    """`q` (pairs,) above the diagonal, row by row; `band`, the |r| that 95 % of unrelated pairs stay below; for moved
    samples the sorted |r| of all moved pairs and the `largest` (draws,) of each move."""

    q: np.ndarray
    band: float
    moved: np.ndarray | None = None
    largest: np.ndarray | None = None


def analytic_tests(r: np.ndarray, samples: int) -> PairTests:
    """Tests of `r` (d, d) against unrelated Gaussian units at `samples` independent samples. O(d² ln d)."""
    p = correlation_p(upper(r), samples)
    return PairTests(benjamini_hochberg(p), null_quantile(samples, 0.95))


def moved_tests(
    r: np.ndarray,
    x: np.ndarray,
    layout: Layout,
    rows: np.ndarray,
    draws: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> PairTests:
    """Tests of `r` (d, d) against the same values (or ranks) `x` (n, d) with every unit's samples moved on their own.

    `rows` (n,) are the rows of the tap that `r` and `x` come from. Time O(draws n d²), memory O(draws d²).
    """
    moved, largest = moved_correlations(x, layout, rows, draws, rng, progress, span)
    above = len(moved) - np.searchsorted(moved, np.abs(upper(r)) - 1e-12)
    p = (1 + above) / (1 + len(moved))
    return PairTests(benjamini_hochberg(p), float(np.quantile(moved, 0.95)), moved, largest)


def mean_estimate(
    mean: float, half: float | None, pairs: int, samples: int, tested: PairTests, common: dict
) -> Estimate:
    """The mean |r| over `pairs` pairs with its null; `half` is the half-width of its jackknife interval."""
    if tested.moved is None:
        expected, by = mean_absolute_null(samples), "unrelated Gaussian units (closed form)"
        variance = max(1 / (samples - 1) - expected**2, 0.0)  # E r² = 1 / (n - 1)
    else:
        expected, by = float(tested.moved.mean()), "samples moved unit by unit"
        variance = float(tested.moved.var())
    spread = 1.96 * float(np.sqrt(variance / pairs))
    ends = (None, None) if half is None else (max(0.0, mean - half), min(1.0, mean + half))
    return Estimate(
        "mean |r|", mean, *ends, interval="" if half is None else "jackknife over ten groups of samples",
        null=expected, null_low=expected - spread, null_high=expected + spread, null_method=by, **common,
    )  # fmt: skip


def largest_estimate(
    r: float, pairs: int, samples: int, common: dict, moved: np.ndarray | None = None, p: float | None = None
) -> Estimate:
    """The strongest correlation `r` of `pairs` pairs as |r|; `moved` (draws,), the largest |r| of moved samples,
    replaces the Gaussian null. `common` names n, d and the estimator ("spearman" widens the interval)."""
    ranks = common["estimator"] == "spearman"
    ends = absolute_interval(*fisher_interval(r, samples, pairs=pairs, ranks=ranks))
    if moved is None:
        null = [null_quantile(samples, level ** (1 / pairs)) for level in (0.5, 0.025, 0.975)]
        by = f"largest of {pairs:,} unrelated Gaussian pairs"
    else:
        null = [float(f(moved)) for f in (np.median, np.min, np.max)]
        by = f"largest of {pairs:,} pairs in each of {len(moved)} moves: median, smallest, largest"
    return Estimate(
        "largest |r|", float(abs(r)), *ends, interval=f"Fisher, simultaneous over {pairs:,} pairs", null=null[0],
        null_low=null[1], null_high=null[2], null_method=by, p_value=p, **common,
    )  # fmt: skip
