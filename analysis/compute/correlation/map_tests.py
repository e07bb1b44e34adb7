"""From where on a pair of a map is beyond chance, what chance gives a cell, and the estimates that say so.

Pearson's and Spearman's r: Student's t at the number of independent samples. Cosine: when the samples of one unit are
exchanged, the cosine of two units has mean n m_x m_y / (|x| |y|) and differs from it by r times a constant, exactly; so
a cosine is beyond chance where r is, and its null is not 0 but that of the units' means. Distance correlation: a
chi-square bound. Mutual information: Pearson's X² of the bins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from analysis.compute.correlation.correlations import correlation_p, null_quantile
from analysis.compute.correlation.distance_correlation import distance_band, distance_p
from analysis.compute.correlation.pair_tally import PairTally
from analysis.compute.correlation.pair_tests import PairTests, largest_estimate, mean_estimate
from analysis.compute.statistics.multiple_testing import sidak
from analysis.compute.statistics.nulls import wilson
from analysis.results import Estimate

DRAWS = 200_000  # pairs whose null is drawn
DECADES = 300.0  # of p-values that are told apart


@dataclass(frozen=True)
class MapNull:
    """`band`, the [low, high] of 95 % of unrelated pairs; `p_of` the tested statistic; `one`, whether one threshold of
    the shown value tells; the `mean` magnitude of unrelated pairs where it is not known otherwise, made `how`;
    `largest_of` so many unrelated pairs, at a probability."""

    band: tuple[float, float]
    p_of: Callable[[np.ndarray], np.ndarray]
    one: bool = True
    mean: float = 0.0
    how: str = ""
    largest_of: Callable[[int, float], float] | None = None


def correlation_null(samples: int) -> MapNull:
    """Of r at so many independent samples."""
    half = null_quantile(samples, 0.95)
    return MapNull((-half, half), lambda r: correlation_p(r, samples))


def cosine_null(moments: tuple, n: int, samples: int, rng: np.random.Generator) -> MapNull:
    """Of cosines, pooled over pairs: exchange mean and Gaussian deviation of random pairs. `moments` are (means, sums
    of squares about them) of either side's units."""
    picked = [rng.integers(len(mean), size=DRAWS) for mean, _ in moments]
    (mx, sx), (my, sy) = ((mean[i], square[i]) for (mean, square), i in zip(moments, picked, strict=True))
    length = np.sqrt((sx + n * mx**2) * (sy + n * my**2))
    drawn = n * mx * my / length
    drawn += rng.standard_normal(DRAWS) * np.sqrt(sx * sy / max(samples - 1, 1)) / length
    low, high = np.quantile(drawn, [0.025, 0.975])
    how = "samples of one unit exchanged (exact mean and deviation), 200,000 random pairs"
    size = float(np.abs(drawn).mean())
    return MapNull((float(low), float(high)), lambda r: correlation_p(r, samples), False, size, how)


def distance_null(samples: int) -> MapNull:
    """Of signed-root distance correlations."""

    def largest_of(pairs: int, probability: float) -> float:
        above = -np.expm1(np.log(probability) / pairs)
        return float(np.sqrt(max(chdtri(1, above) - 1.0, 0.0) / samples))

    return MapNull(distance_band(samples), lambda d: distance_p(d, samples), largest_of=largest_of)


def information_null(freedom: np.ndarray, n: int, samples: int) -> MapNull:
    """Of mutual information with `freedom` (pairs,) degrees of freedom each; what is tested is `information_tested`."""
    typical = float(np.median(freedom))
    ends = [(chdtri(typical, above) / samples - typical / n) / 2 for above in (0.975, 0.025)]
    return MapNull((float(ends[0]), float(ends[1])), lambda t: 10.0 ** (-DECADES * t), False)


def information_tested(p: np.ndarray) -> np.ndarray:
    """p-values as a statistic in [0, 1] of which they are a function, whatever their degrees of freedom."""
    return np.clip(-np.log10(np.maximum(p, 1e-300)) / DECADES, 0.0, 1.0)


def estimates_of(
    tally: PairTally,
    null: MapNull,
    share: float,
    level: float,
    measure: str,
    d: int,
    samples: int,
    half: float | None,
) -> tuple[Estimate, ...]:
    """Mean, largest and share beyond chance of a map of `tally.pairs` pairs, `d` units on its shorter side."""
    common = {"n": samples, "d": d, "estimator": measure}
    low, high = wilson(share * d, d)
    low = min(low, share)  # 1e-18 of rounding
    found = Estimate(
        f"share of pairs with q < {level:g}", share, low, high, interval="Wilson, units as draws", null=0.0,
        null_method="false-discovery control", **common,
    )  # fmt: skip
    if measure in ("pearson", "spearman"):
        tests = PairTests(np.empty(0), null.band[1])
        return (
            mean_estimate(tally.mean, half, tally.pairs, samples, tests, common),
            largest_estimate(tally.value, tally.pairs, samples, common),
            found,
        )
    if measure == "cosine":
        ends = {} if half is None else {
            "low": max(tally.mean - half, 0.0), "high": min(tally.mean + half, 1.0),
            "interval": "jackknife over ten groups of samples",
        }  # fmt: skip
        mean = Estimate("mean |cosine|", tally.mean, **ends, null=null.mean, null_method=null.how, **common)
        return mean, Estimate("largest |cosine|", tally.largest, **common), found
    chance = {}
    if null.largest_of is not None:
        middle, low, high = (null.largest_of(tally.pairs, level) for level in (0.5, 0.025, 0.975))
        chance = {"null": middle, "null_low": low, "null_high": high,
                  "null_method": f"largest of {tally.pairs:,} unrelated pairs, chi-square bound"}  # fmt: skip
    p = float(sidak(null.p_of(np.array(tally.tested)), tally.pairs))
    return found, Estimate(f"largest {measure}", tally.value, p_value=p, **chance, **common)
