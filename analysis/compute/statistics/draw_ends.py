"""The ends of a null that is known by draws: how far out one more draw would seldom lie."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.nulls import add_one_p


def tail(draws: int) -> int:
    """The place of the null's ends among so many draws, from outside: one more draw lies beyond them with probability
    2 k / (draws + 1), 5 % where there are enough."""
    return max(1, int(0.025 * (draws + 1) + 1e-9))


def band(draws: np.ndarray) -> np.ndarray:
    """(2, parts): the ends of draws (m, parts) but for the outermost of them."""
    ranked, k = np.sort(draws, axis=0), tail(len(draws))
    return ranked[[k - 1, len(ranked) - k]]


def against_largest(value: float, largest: np.ndarray) -> dict[str, float]:
    """What an `Estimate` says of a value that was picked as the largest in size of several: `largest` (draws,) are the
    largest sizes of as many by chance. Mean and middle 95 % of these with the sign of the value, and the p-value."""
    low, high = np.percentile(largest, [2.5, 97.5])
    ends = (float(low), float(high)) if value >= 0 else (-float(high), -float(low))
    mean = float(largest.mean()) if value >= 0 else -float(largest.mean())
    return {"null": mean, "null_low": ends[0], "null_high": ends[1],
            "p_value": float(add_one_p(abs(float(value)), largest))}  # fmt: skip
