"""Is one of two scores of the same queries the better one? Under the null either score of a query could have been the
other's: the sign of each difference is drawn at random.

Of differences that are -1, 0 or 1 (right or wrong) the number of gains among the changes is then binomial: McNemar's
exact test. Of others the signs are drawn, seeded.

References: Q. McNemar (1947); R. A. Fisher (1935), "The design of experiments"; B. Phipson & G. Smyth (2010);
R. Newcombe (1998), "Improved confidence intervals for the difference between binomial proportions based on paired data"
(method 10).
"""

from __future__ import annotations

import numpy as np
from scipy.special import betainc

from analysis.compute.statistics.nulls import bootstrap_mean, wilson
from analysis.compute.statistics.sample_groups import mean_interval

DRAWS = 1999
BLOCK = 100  # draws at a time


def gain_p(difference: np.ndarray, rng: np.random.Generator) -> float:
    """Chance of a mean at least as large as that of `difference` (q,) when every sign is a coin's. O(draws q)."""
    change = difference[difference != 0]
    if not len(change):
        return 1.0
    if (np.abs(change) == 1).all():
        gains = int((change > 0).sum())
        return float(betainc(gains, len(change) - gains + 1, 0.5)) if gains else 1.0
    sums = flipped_sums(change[:, None], rng)[:, 0]
    return float((1 + (sums >= change.sum() * (1 - 1e-12) - 1e-15).sum()) / (1 + len(sums)))


def flipped_sums(difference: np.ndarray, rng: np.random.Generator, draws: int = DRAWS) -> np.ndarray:
    """Sums (draws, columns) of `difference` (q, columns) with the sign of each line drawn anew. O(draws q columns)."""
    out = np.empty((draws, difference.shape[1]))
    for start in range(0, draws, BLOCK):
        signs = rng.integers(2, size=(min(BLOCK, draws - start), len(difference))) * 2.0 - 1
        out[start : start + len(signs)] = signs @ difference
    return out


def paired_interval(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """95 % interval of the difference of two shares of the same queries, (q,) bool each: Newcombe's method 10, which
    stays inside [-1, 1] and has a width where no query changed."""
    n = len(before)
    both, new, old = (int(x.sum()) for x in (before & after, ~before & after, before & ~after))
    none = n - both - new - old
    first, second = (both + new) / n, (both + old) / n
    low, high = wilson(both + new, n)
    below, above = wilson(both + old, n)
    scale = np.sqrt(float(both + new) * (old + none) * (both + old) * (new + none))
    product = both * none - new * old
    if product > 0:
        product = max(product - n / 2, 0.0)  # the correction for continuity
    along = product / scale if scale > 0 else 0.0
    down, up = (first - low, above - second), (high - first, second - below)
    half = [np.sqrt(max(a * a - 2 * along * a * b + b * b, 0.0)) for a, b in (down, up)]
    return float(first - second - half[0]), float(first - second + half[1])


def gain_interval(before: np.ndarray, after: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """95 % interval of the mean gain of scores (q,): Newcombe's where all are 0 or 1, by resampled queries where ties
    made parts of an answer; no width where the scores are equal."""
    value = float((after - before).mean())
    if (before == after).all():
        return 0.0, 0.0
    if np.isin(np.concatenate([before, after]), (0.0, 1.0)).all():
        low, high = paired_interval(before == 1, after == 1)
    else:
        low, high = (float(e[0]) for e in bootstrap_mean((after - before)[:, None], rng, draws=500))
    return min(low, value), max(high, value)


def paired_ends(before: np.ndarray, after: np.ndarray) -> dict:
    """95 % interval of the mean gain of scores (n,), as an `Estimate` takes it: Newcombe's where all are 0 or 1, which
    has a width where no answer changed; else Student's t."""
    if not np.isin(np.concatenate([before, after]), (0.0, 1.0)).all():
        return mean_interval(after - before)
    low, high = paired_interval(before == 1, after == 1)
    return {"low": low, "high": high, "interval": "Newcombe's, paired by sample"}
