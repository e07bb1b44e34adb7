"""What to reveal next of one sample, by what it has shown so far: gains of hidden groups under Gaussian classes.

    gain of i given x_S = E_{x_i | x_S} KL(p(y | x_S, x_i) ‖ p(y | x_S))        bits

x_i is drawn as the model has it: a class by p(y | x_S), then its Gaussian given x_S. Unlike the gain over all samples
this one hangs on the values that were seen, so that every sample has an order of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.games.reveal import GaussianReader

NONE = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Step:
    """`group` that is revealed; `expected` (draws,) bits of it; `runner_up` and its mean gain; `posterior` (classes,)
    after it and `told` bits, KL of it from the one before."""

    group: int
    expected: np.ndarray
    runner_up: int
    runner_gain: float
    posterior: np.ndarray
    told: float


def expected_gains(
    reader: GaussianReader, row: np.ndarray, seen: np.ndarray, new: np.ndarray, draws: int, rng
) -> np.ndarray:
    """(draws,) bits of the columns `new` of one row (d,) of which the columns `seen` are known."""
    before = np.exp(reader.log_posteriors(row[None], seen)[0])
    of = rng.choice(len(before), size=draws, p=before / before.sum())
    drawn = np.tile(row, (draws, 1))
    for c in np.unique(of):
        own = of == c
        mean, spread = _given(reader, int(c), row, seen, new)
        root = np.linalg.cholesky(spread + 1e-12 * np.trace(spread) / len(new) * np.eye(len(new)))
        drawn[np.ix_(own, new)] = mean + rng.standard_normal((own.sum(), len(new))) @ root.T
    after = np.exp(reader.log_posteriors(drawn, np.sort(np.concatenate([seen, new]))))
    return divergence(after, before)


def _given(reader: GaussianReader, c: int, row, seen, new) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the new columns of a class given the seen ones."""
    mean, spread = reader.means[c], reader.spreads[c]
    if not len(seen):
        return mean[new], spread[np.ix_(new, new)]
    slope = np.linalg.solve(spread[np.ix_(seen, seen)], spread[np.ix_(seen, new)])
    return mean[new] + (row[seen] - mean[seen]) @ slope, spread[np.ix_(new, new)] - spread[
        np.ix_(new, seen)
    ] @ slope


def divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """KL (bits) of each of p (…, classes) from q (classes,)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(p > 0, p * np.log2(p / q), 0.0)
    return np.maximum(each.sum(axis=-1), 0.0)


def own_order(
    reader: GaussianReader,
    row: np.ndarray,
    groups: list[np.ndarray],
    costs: np.ndarray,
    draws: int,
    rng,
    most: int,
) -> list[Step]:
    """At most so many steps: always the group with the largest expected gain for its cost."""
    left, seen, steps = list(range(len(groups))), NONE, []
    before = np.exp(reader.log_posteriors(row[None], seen)[0])
    while left and len(steps) < most:
        gains = [expected_gains(reader, row, seen, groups[g], draws, rng) for g in left]
        rate = np.array([g.mean() for g in gains]) / costs[left]
        order = np.argsort(-rate, kind="stable")
        first, second = int(order[0]), int(order[min(1, len(order) - 1)])
        seen = np.sort(np.concatenate([seen, groups[left[first]]]))
        after = np.exp(reader.log_posteriors(row[None], seen)[0])
        steps.append(Step(left[first], gains[first], left[second], float(gains[second].mean()), after,
                          float(divergence(after, before))))  # fmt: skip
        before = after
        left.pop(first)
    return steps
