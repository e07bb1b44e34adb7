"""Units shared with every tap of one group and with none of another: the least and the most best-matched ρ², tested.

min over G of ρ² starts from the first tap of G, and r is that of centred units of length 1: a running minimum that
starts at 0, or sums divided by n with deviations by n - 1, would give other numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from analysis.compute.matching.unit_sharing import Units, best, correlations, correlations_without
from analysis.compute.statistics.exchange_tests import pooled_p
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.sample_groups import jackknife_error
from analysis.spec import Progress


@dataclass(frozen=True)
class Sharedness:
    """For the p units of the first tap: `activation`, least ρ² `inside` the group, most `outside`, their `difference`,
    its mean `null` when samples are exchanged and the draws `exchanged` (D, p), and `without` each group of samples
    (G, p); `partner` and `r` (taps, p) in each other tap; `q_shared` and `q_difference`."""

    activation: np.ndarray
    inside: np.ndarray
    outside: np.ndarray
    without: np.ndarray
    exchanged: np.ndarray
    partner: np.ndarray
    r: np.ndarray
    q_shared: np.ndarray
    q_difference: np.ndarray

    @property
    def difference(self) -> np.ndarray:
        return self.inside - self.outside

    @property
    def null(self) -> np.ndarray:
        return self.exchanged.mean(axis=0)


def sharedness(
    sides: list[Units],
    members: int,
    either_sign: bool,
    groups: list[np.ndarray],
    draws: int,
    rng: np.random.Generator,
    progress: Progress,
) -> Sharedness:
    """`sides`: the tap asked about, `members` taps of G, those of H. O((1 + draws) n p Σ q)."""
    first, others = sides[0], sides[1:]
    k, p, n = len(others), first.d, len(first.x)
    partner, r = np.empty((k, p), dtype=np.int64), np.empty((k, p))
    without, null = np.empty((len(groups), k, p)), np.empty((draws, k, p))
    size = np.abs if either_sign else np.asarray
    for t, other in enumerate(others):
        progress(0.3 + 0.7 * t / k, "comparing units")
        whole = correlations(first, other)
        partner[t] = best(size(whole))[0]
        r[t] = whole[np.arange(p), partner[t]]
        null[:, t] = [best(size(correlations(first, other, rng.permutation(n))))[1] for _ in range(draws)]
        without[:, t] = [best(size(left))[1] for left in correlations_without(first, other, groups, whole)]
    observed = size(r)
    inside, outside = _least_and_most(observed, members)
    exchanged = np.subtract(*_least_and_most(null, members))
    left = np.subtract(*_least_and_most(without, members))
    chance = np.array([pooled_p(observed[t], null[:, t]) for t in range(members)])
    q_difference = benjamini_hochberg(_above_p(inside - outside, exchanged.mean(axis=0), left))
    return Sharedness(
        first.activation[0], inside, outside, left, exchanged, partner, r,
        benjamini_hochberg(chance.max(axis=0)), q_difference,
    )  # fmt: skip


def _least_and_most(r: np.ndarray, members: int) -> tuple[np.ndarray, np.ndarray]:
    """min over G and max over H of ρ² from `r` (…, taps, p); a best correlation below 0 is no sharing."""
    squared = np.maximum(r, 0.0) ** 2
    return squared[..., :members, :].min(axis=-2), squared[..., members:, :].max(axis=-2)


def _above_p(difference: np.ndarray, null: np.ndarray, without: np.ndarray) -> np.ndarray:
    """One-sided p (p,) of a difference above 0 and above its null, by jackknife and Student's t."""
    gap, error = difference - np.maximum(null, 0.0), jackknife_error(without)
    with np.errstate(divide="ignore"):
        t = np.where(error > 0, gap / np.where(error > 0, error, 1.0), np.sign(gap) * np.inf)
    return np.where(gap == 0, 1.0, stdtr(len(without) - 1, -t))
